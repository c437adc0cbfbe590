// Real training on real data, as the README promises it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using ::testing::HasSubstr;

std::vector<nlohmann::json> JsonLines(const std::string& file) {
  std::vector<nlohmann::json> lines;
  for (absl::string_view line :
       absl::StrSplit(ReadWholeFile(file), '\n', absl::SkipEmpty())) {
    lines.push_back(nlohmann::json::parse(std::string(line), nullptr,
                                          /*allow_exceptions=*/false));
    EXPECT_TRUE(lines.back().is_object()) << line;
  }
  return lines;
}

// `paramo demo`, with its output and its JSON Lines in a directory.
class Demo {
 public:
  explicit Demo(const std::vector<std::string>& args) {
    std::vector<std::string> all = {"demo", "fashion", "--json", json()};
    all.insert(all.end(), args.begin(), args.end());
    process_ = StartBinary("paramo", all, log(), {"TMPDIR=" + dir_.path()});
  }
  std::string json() const { return dir_.path() + "/demo.json"; }
  std::string log() const { return dir_.path() + "/demo.log"; }
  std::string output() const { return ReadWholeFile(log()); }
  nlohmann::json last() const {
    const auto lines = JsonLines(json());
    return lines.empty() ? nlohmann::json() : lines.back();
  }
  std::string Finish() {
    if (!process_->WaitFor(absl::Seconds(100))) return "did not finish";
    return process_->Outcome();
  }
  // Kills the named worker once the job is `epochs` on its way.
  void KillWorker(const std::string& name, double epochs) {
    ASSERT_TRUE(WaitUntil(
        [&] {
          const auto now = last();
          return now.contains("epoch") && now["epoch"] > epochs;
        },
        absl::Seconds(60)))
        << output();
    const std::string text = output();
    const std::string mark = name + " (pid ";
    const size_t at = text.find(mark);
    ASSERT_NE(at, std::string::npos) << text;
    const pid_t pid = std::stoi(text.substr(at + mark.size()));
    ASSERT_EQ(kill(pid, SIGKILL), 0);
  }

 private:
  TempDir dir_;
  std::unique_ptr<cli::Process> process_;
};

void ExpectFlatResult(const nlohmann::json& result) {
  for (const char* key : {"job",
                          "sync",
                          "servers",
                          "workers",
                          "epochs",
                          "seconds",
                          "examples_per_second",
                          "metric_name",
                          "metric",
                          "reference_metric",
                          "tolerance",
                          "pushes",
                          "pulls",
                          "push_bytes",
                          "pull_bytes",
                          "pass",
                          "error",
                          "replicas",
                          "recovery_ms",
                          "acked_lost",
                          "applied_twice"}) {
    ASSERT_TRUE(result.contains(key)) << key;
    EXPECT_TRUE(result[key].is_primitive()) << key;
  }
}

// A server dies in mid-run, and nothing comes out differently.
TEST(Demo, BspTrainsLikeOneProcessThoughAServerIsKilled) {
  Demo demo({"--epochs", "2"});
  EXPECT_EQ(demo.Finish(), "exit status 0") << demo.output();
  const auto lines = JsonLines(demo.json());
  EXPECT_GT(lines.size(), 2u);
  ExpectFlatResult(lines.back());
  const auto& result = lines.back();
  EXPECT_EQ(result["job"], "fashion");
  EXPECT_EQ(result["sync"], "bsp");
  EXPECT_EQ(result["servers"], 3);
  EXPECT_EQ(result["workers"], 2);
  EXPECT_EQ(result["epochs"], 2);
  EXPECT_EQ(result["pass"], true);
  EXPECT_EQ(result["error"], "");
  EXPECT_GT(result["metric"], 0.84);
  EXPECT_NEAR(result["metric"], result["reference_metric"].get<double>(), 0.01);
  // 60,000 examples in batches of 64, twice; and a push has all the weights.
  EXPECT_NEAR(result["pushes"].get<double>(), 2 * 938, 20);
  EXPECT_GT(result["push_bytes"].get<double>(),
            result["pushes"].get<double>() * 4 * 235146);
  EXPECT_EQ(result["replicas"], 2);
  EXPECT_GT(result["recovery_ms"], 0);
  EXPECT_EQ(result["acked_lost"], 0);
  EXPECT_EQ(result["applied_twice"], 0);
  EXPECT_THAT(demo.output(), HasSubstr("with signal 9"));
  EXPECT_THAT(demo.output(), HasSubstr("acknowledged, 0 lost"));
  EXPECT_THAT(demo.output(), HasSubstr("PASS"));
}

// The job came to its end. Whether the verdict passes is another question: a
// death changes the batches, so the model is another one than the reference's.
void ExpectFinishedInSpiteOfADeath(Demo& demo) {
  EXPECT_THAT(demo.Finish(), ::testing::AnyOf("exit status 0", "exit status 1"))
      << demo.output();
  const auto result = demo.last();
  ExpectFlatResult(result);
  EXPECT_EQ(result["error"], "") << demo.output();
  EXPECT_GT(result["metric"], 0.80);
  EXPECT_THAT(demo.output(), HasSubstr("deaths: 1"));
  EXPECT_THAT(demo.output(), HasSubstr("killed by signal 9"));
}

TEST(Demo, AsyncSurvivesAWorkerKilledInMidRun) {
  Demo demo({"--epochs", "2", "--sync", "async", "--replicas", "1"});
  demo.KillWorker("worker-2", 0.3);
  ExpectFinishedInSpiteOfADeath(demo);
}

TEST(Demo, BspSurvivesAWorkerKilledInMidRun) {
  Demo demo({"--epochs", "1", "--replicas", "1"});
  demo.KillWorker("worker-1", 0.2);
  ExpectFinishedInSpiteOfADeath(demo);
}

TEST(Demo, AFailureIsInTheJsonToo) {
  Demo demo({"--data", "/proc/none"});
  EXPECT_EQ(demo.Finish(), "exit status 1");
  const auto result = demo.last();
  ExpectFlatResult(result);
  EXPECT_EQ(result["pass"], false);
  EXPECT_THAT(result["error"].get<std::string>(), HasSubstr("/proc/none"));
}

// A quarter of the rounds of BspTrainsLikeOneProcess, of four steps each.
TEST(Demo, AveragedModelsTrainLikeOneProcess) {
  Demo demo({"--epochs", "2", "--local-steps", "4", "--replicas", "1"});
  EXPECT_EQ(demo.Finish(), "exit status 0") << demo.output();
  const auto result = demo.last();
  ExpectFlatResult(result);
  EXPECT_EQ(result["pass"], true);
  EXPECT_EQ(result["local_steps"], 4);
  EXPECT_GT(result["metric"], 0.82);
  EXPECT_NEAR(result["metric"], result["reference_metric"].get<double>(), 0.01);
  EXPECT_NEAR(result["pushes"].get<double>(), 2 * 235, 10);
  EXPECT_THAT(demo.output(), HasSubstr("bsp, 4 local steps"));
}

}  // namespace
}  // namespace paramo::test
