// The command line tool and the example against a running cluster: what they
// print, in both forms, and how they exit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "paramo/v1/cluster.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kOk[] = "exit status 0";

class CommandTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { cluster_ = std::make_unique<TestCluster>(); }
  static void TearDownTestSuite() { cluster_.reset(); }

  static std::string Variable() {
    return "PARAMO_ADDRESS=" + cluster_->coordinator().address();
  }
  static Ran Paramo(const std::string& line) {
    return RunBinary(
        "paramo",
        std::vector<std::string>(absl::StrSplit(line, ' ', absl::SkipEmpty())),
        {Variable()});
  }
  static std::string Text(const std::string& line) {
    const Ran ran = Paramo(line);
    EXPECT_EQ(ran.outcome, kOk) << line << "\n" << ran.output;
    return ran.output;
  }
  static nlohmann::json Json(const std::string& line) {
    const std::string text = Text(line + " --output json");
    auto json = nlohmann::json::parse(text, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << text;
    return json;
  }
  static void ExpectFailure(const std::string& line, const char* outcome,
                            const char* says) {
    const Ran ran = Paramo(line);
    EXPECT_EQ(ran.outcome, outcome) << line << "\n" << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(says)) << line;
  }

  static std::unique_ptr<TestCluster> cluster_;
};
std::unique_ptr<TestCluster> CommandTest::cluster_;

TEST_F(CommandTest, TablesHaveAWholeLife) {
  auto made = Json("table create life --dim 4 --rule adagrad --param lr=0.05");
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0]["table"], "life");
  EXPECT_EQ(made[0]["version"], 1);
  EXPECT_THAT(Text("table create life2 --tensor 100,30 --init normal:1"),
              AllOf(HasSubstr("life2"), HasSubstr("[100, 30]")));
  // Equal: opened. Other: refused, with the difference.
  EXPECT_EQ(Json("table create life --dim 4 --rule adagrad --param lr=0.05"),
            made);
  ExpectFailure("table create life --dim 8 --rule adagrad --param lr=0.05",
                "exit status 1", "dim");

  EXPECT_EQ(Json("table list").size(), 2u);
  EXPECT_EQ(Json("table describe life"), made);
  EXPECT_THAT(Text("table describe life"), HasSubstr("lr=0.05"));
  auto altered = Json("table alter life --param lr=0.1");
  EXPECT_EQ(altered[0]["version"], 2);
  EXPECT_THAT(altered[0]["rule"].get<std::string>(), HasSubstr("lr=0.1"));
  ExpectFailure("table alter life --param lr=-1", "exit status 1", "lr");
  ExpectFailure("table alter life --param speed=1", "exit status 1", "speed");

  const TempDir dir;
  const std::string file = dir.path() + "/life2.npz";
  EXPECT_THAT(Text("table export life2 " + file), HasSubstr(file));
  EXPECT_GT(ReadWholeFile(file).size(), 100u * 30 * 4);
  ExpectFailure("table export life2 " + dir.path() + "/no.txt",
                "exit status 78", ".npz");

  EXPECT_NE(Paramo("table drop life").outcome, kOk);  // without --yes
  EXPECT_EQ(Json("table list").size(), 2u);
  Text("table drop life --yes");
  Text("table drop life2 --yes");
  EXPECT_EQ(Json("table list").size(), 0u);
  ExpectFailure("table describe life", "exit status 1", "life");
  ExpectFailure("table drop life --yes", "exit status 1", "life");
}

TEST_F(CommandTest, StatusShowsServersShardsTablesAndJobs) {
  const auto status = Json("status");
  EXPECT_EQ(status["shards"], 64);
  EXPECT_EQ(status["unplaced"], 0);
  ASSERT_EQ(status["servers"].size(), 3u);
  int shards = 0;
  for (const auto& server : status["servers"]) {
    EXPECT_EQ(server["status"], "up");
    const int share = server["shards"];
    EXPECT_TRUE(share == 21 || share == 22) << server;
    shards += share;
  }
  EXPECT_EQ(shards, 64);
  EXPECT_THAT(Text("status"),
              AllOf(HasSubstr("shards 64"), HasSubstr("no jobs")));
  EXPECT_EQ(Json("job list").size(), 0u);
  ExpectFailure("job describe none", "exit status 1", "none");
  ExpectFailure("job stop none", "exit status 1", "none");
}

TEST_F(CommandTest, AServersAddressServesForLooking) {
  for (int i = 0; i < 3; ++i) {
    const std::string text =
        Text("status --address " + cluster_->server(i).address());
    EXPECT_THAT(text, AllOf(HasSubstr(cluster_->server(0).address()),
                            HasSubstr("jobs unknown")));
  }
  // All that needs the coordinator says so.
  const Ran ran = RunBinary(
      "paramo", {"job", "list", "--address", cluster_->server(0).address()});
  EXPECT_EQ(ran.outcome, "exit status 1");
  EXPECT_THAT(ran.output, HasSubstr("coordinator"));
}

TEST_F(CommandTest, DoctorConfigAndVersionAnswer) {
  const auto findings = Json("doctor");
  EXPECT_GE(findings.size(), 8u);
  for (const auto& finding : findings) {
    EXPECT_NE(finding["verdict"], "BAD") << finding;
  }
  EXPECT_EQ(Text("version"), Text("--version"));
  EXPECT_THAT(Text("version"), HasSubstr("paramo"));

  const TempDir dir;
  const std::string file = dir.Write("s.yaml", "threads: 3\n");
  const Ran shown = RunBinary(
      "paramo", {"config", "show", "server", "--origin", "--config", file},
      {"PARAMO_LOG_LEVEL=debug"});
  EXPECT_EQ(shown.outcome, kOk) << shown.output;
  EXPECT_THAT(shown.output,
              ::testing::ContainsRegex("threads +3 +.*s\\.yaml:1"));
  EXPECT_THAT(shown.output,
              ::testing::ContainsRegex("log-level +debug +PARAMO_LOG_LEVEL"));
  EXPECT_THAT(shown.output,
              ::testing::ContainsRegex("flush-interval +[0-9a-z]+ +default"));
}

TEST_F(CommandTest, MistakesSayWhatToDo) {
  ExpectFailure("statsu", "exit status 2", "statsu");
  ExpectFailure("status --adress 127.0.0.1:1", "exit status 2", "--address");
  ExpectFailure("table create", "exit status 2", "NAME");
  ExpectFailure("table create a --rule magic", "exit status 2", "magic");
  const Ran nobody = RunBinary(
      "paramo", {"status", "--address", "127.0.0.1:1", "--timeout", "300ms"});
  EXPECT_EQ(nobody.outcome, "exit status 1");
  EXPECT_THAT(nobody.output, HasSubstr("127.0.0.1:1"));
  const Ran nameless = RunBinary("paramo", {"status"});
  EXPECT_NE(nameless.outcome, kOk);
  EXPECT_THAT(nameless.output, HasSubstr("PARAMO_ADDRESS"));
}

TEST_F(CommandTest, EveryHelpFitsAScreenAndHasAnExample) {
  for (const char* command :
       {"dev", "demo", "status", "table create", "table list", "table describe",
        "table alter", "table drop", "table export", "job list", "job describe",
        "job stop", "config show", "doctor"}) {
    const std::string help = Text(absl::StrCat(command, " --help"));
    const std::vector<std::string> lines = absl::StrSplit(help, '\n');
    EXPECT_LE(lines.size(), 40u) << command;
    for (const std::string& line : lines) EXPECT_LE(line.size(), 80u) << line;
    EXPECT_THAT(help, AllOf(HasSubstr("Examples:"),
                            HasSubstr(absl::StrCat("paramo ", command))));
  }
}

TEST_F(CommandTest, TheExampleRuns) {
  const Ran ran = RunBinary("paramo-example", {}, {Variable()});
  EXPECT_EQ(ran.outcome, kOk);
  EXPECT_THAT(ran.output, AllOf(HasSubstr("row 7: -2.5 -2.5 -2.5 -2.5\n"),
                                HasSubstr("row 99: 0 0 0 0\n")));
}

}  // namespace
}  // namespace paramo::test
