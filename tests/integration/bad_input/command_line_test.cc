// Configuration files (C1) and command lines (C2) that are wrong or hostile,
// given to the binaries as a user would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/limits.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kConfigError[] = "exit status 78";
constexpr char kUsageError[] = "exit status 2";

struct Command {
  std::string binary;
  std::vector<std::string> args;
};

// A directory that nothing may make: each test asserts the start is refused.
std::string Nowhere() { return "/proc/none"; }

// Each of them complete but for what a file may add.
std::vector<Command> Commands() {
  return {{"paramo-server",
           {"--data-dir", Nowhere(), "--coordinator", "127.0.0.1:1"}},
          {"paramo-coordinator", {"--data-dir", Nowhere()}},
          {"paramo-worker", {"--job", Nowhere(), "--address", "127.0.0.1:1"}},
          {"paramo", {"dev"}}};
}

std::string Repeat(const std::string& part, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += part;
  return text;
}

Ran Check(Command command, const std::string& config) {
  command.args.insert(command.args.end(),
                      {"--config", config, "--check-config"});
  return RunBinary(command.binary, command.args);
}

// ---- C1 ---------------------------------------------------------------------

TEST(Config, C1_MistakesAreConfigErrorsWithTheLine) {
  struct Case {
    const char* what;
    std::string text;
    const char* says;
  };
  const std::vector<Case> cases = {
      {"unknown key", "# mine\nlog-levle: info\n", "log-level"},
      {"duplicate key", "log-level: info\nlog-level: info\n", "log-level"},
      {"wrong type", "\nlog-level: [info]\n", "log-level"},
      {"a map for a scalar", "# x\nlog-level: {a: b}\n", "log-level"},
      {"not a choice", "\nlog-level: loud\n", "loud"},
      {"no map", "# x\n- 1\n", "settings"},
      {"broken", "# x\nlog-level: 'info\n", ""},
      {"includes are no keys", "\n!include: other.yaml\n", ""},
      {"not UTF-8", "\nlog-level: \xff\xfe\n", "UTF-8"},
      {"a control character", "\nlog-level: a\x01z\n", ""},
      {"a tab", "log-level:\n\t- a\n", ""},
  };
  const TempDir dir;
  for (const Command& command : Commands()) {
    for (const Case& c : cases) {
      SCOPED_TRACE(absl::StrCat(command.binary, ": ", c.what));
      const Ran ran = Check(command, dir.Write("config.yaml", c.text));
      EXPECT_EQ(ran.outcome, kConfigError) << ran.output;
      EXPECT_THAT(ran.output,
                  AllOf(HasSubstr("config.yaml:2"), HasSubstr(c.says)));
      EXPECT_LT(ran.output.size(), 1000u) << ran.output;
    }
  }
}

TEST(Config, C1_NumbersOutOfRangeAreConfigErrors) {
  const TempDir dir;
  const Command server = Commands()[0];
  for (const char* text : {"threads: .nan",
                           "threads: -1",
                           "threads: 0",
                           "threads: 2.5",
                           "threads: 99999999999999999999999",
                           "threads: two",
                           "threads: 1e3",
                           "held-bytes: -1MiB",
                           "held-bytes: .inf",
                           "held-bytes: 1MiB2",
                           "held-bytes: 99999999999TiB",
                           "flush-interval: -2s",
                           "flush-interval: nan",
                           "flush-interval: 2",
                           "listen: 127.0.0.1",
                           "listen: 127.0.0.1:99999",
                           "listen: ':0'",
                           "listen: $HOST:0",
                           "coordinator: ''",
                           "insecure-listen: maybe"}) {
    const Ran ran =
        Check(server, dir.Write("c.yaml", absl::StrCat(text, "\n")));
    EXPECT_EQ(ran.outcome, kConfigError) << text << "\n" << ran.output;
    EXPECT_THAT(ran.output, HasSubstr("c.yaml:1")) << text;
  }
}

TEST(Config, C1_VariablesInValuesAreNotExpanded) {
  const TempDir dir;
  const std::string file = dir.Write("c.yaml", "data-dir: $HOME/${PATH}\n");
  const Ran ran =
      RunBinary("paramo-server", {"--coordinator", "127.0.0.1:1", "--config",
                                  file, "--show-config=origin"});
  EXPECT_EQ(ran.outcome, "exit status 0") << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("$HOME/${PATH}"));
}

TEST(Config, C1_FilesThatWouldFillTheMemoryAreRefusedAtOnce) {
  const TempDir dir;
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char name = 'b'; name <= 'k'; ++name) {
    const std::string last = absl::StrCat("*", std::string(1, name - 1));
    bomb += absl::StrCat(std::string(1, name), ": &", std::string(1, name),
                         " [", Repeat(last + ",", 9), last, "]\n");
  }
  const std::vector<std::string> files = {
      dir.Write("anchors.yaml", bomb),
      dir.Write("large.yaml",
                Repeat("# 100 MB of comments follow here\n", (100 << 20) / 33)),
      dir.Write("deep.yaml", "a: " + Repeat("[", 100000)),
      dir.Write("wide.yaml", "a: [" + Repeat("1,", 200000) + "1]\n"),
      "/dev/zero",
      dir.path(),
      dir.path() + "/missing.yaml",
  };
  for (const Command& command : Commands()) {
    for (const std::string& file : files) {
      const absl::Time start = absl::Now();
      const Ran ran = Check(command, file);
      EXPECT_EQ(ran.outcome, kConfigError) << file << "\n" << ran.output;
      EXPECT_LT(ran.output.size(), 1000u) << file;
      EXPECT_LT(absl::Now() - start, absl::Seconds(5)) << file;
    }
  }
}

TEST(Config, C1_AWrongFileStopsTheStartToo) {
  const TempDir dir;
  const std::string file = dir.Write("c.yaml", "listten: 127.0.0.1:0\n");
  const Ran ran = RunBinary(
      "paramo-server", {"--data-dir", dir.path() + "/data", "--coordinator",
                        "127.0.0.1:1", "--config", file});
  EXPECT_EQ(ran.outcome, kConfigError) << ran.output;
  EXPECT_THAT(ran.output, AllOf(HasSubstr("c.yaml:1"), HasSubstr("listen")));
}

// A whole job file but for one line, the fourth.
TEST(Config, C1_HostileJobFilesNameTheirLine) {
  const TempDir dir;
  for (const char* line :
       {"epochs: 1", "epochs: .nan", "epochs: -1", "epoch: 5", "workers: [1]",
        "job: ../../etc/passwd", "job: \"a\\nI 00:00 forged\"",
        "optimizer: {rule: adam, lr: .nan}", "optimizer: {rule: adam, lr: -1}",
        "optimizer: {rule: adam, lr: 1, beta1: 1}", "optimizer: {rule: magic}",
        "model: {kind: mlp, layers: [784, 99999999999]}",
        "data: {format: idx, dir: /tmp, global_batch: 0}"}) {
    std::string text =
        absl::StrCat("version: 1\nsync: bsp\nseed: 1\n", line, "\n");
    const std::string key(line, std::string(line).find(':'));
    for (const char* rest :
         {"job: fine", "epochs: 1", "workers: 1",
          "data: {format: idx, dir: /tmp/none, global_batch: 1}",
          "model: {kind: softmax, layers: [784, 10]}",
          "optimizer: {rule: sgd, lr: 1}"}) {
      if (std::string(rest).rfind(key + ":", 0) == 0) continue;
      text += absl::StrCat(rest, "\n");
    }
    const Ran ran = RunBinary(
        "paramo-worker", {"--job", dir.Write("bad.yaml", text), "--reference"});
    EXPECT_EQ(ran.outcome, "exit status 1") << text << ran.output;
    EXPECT_THAT(ran.output, Not(HasSubstr("\nI 00:00 forged")));
    // The first one is fine, but for the data.
    EXPECT_THAT(ran.output,
                HasSubstr(key == "epochs" && line[8] == '1' ? "/tmp/none"
                                                            : "bad.yaml:4"));
  }
}

// ---- C2 ---------------------------------------------------------------------

TEST(Arguments, C2_MistakesNameTheFlag) {
  struct Case {
    std::vector<std::string> args;
    const char* says;
  };
  for (const Case& c :
       std::vector<Case>{{{"--thraeds", "2"}, "--threads"},
                         {{"--threads"}, "--threads"},
                         {{"--threads", "0"}, "--threads"},
                         {{"--threads=nan"}, "--threads"},
                         {{"--threads", "2", "--threads", "2"}, "--threads"},
                         {{"--listen", "nowhere"}, "--listen"},
                         {{"stray"}, "stray"},
                         {{"-x"}, "-x"}}) {
    std::vector<std::string> args = Commands()[0].args;
    args.insert(args.end(), c.args.begin(), c.args.end());
    const Ran ran = RunBinary("paramo-server", args);
    EXPECT_EQ(ran.outcome, kUsageError) << c.args[0] << "\n" << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(c.says));
  }
}

TEST(Arguments, C2_LongArgumentsAreRefusedBriefly) {
  // The kernel lets one argument have 128 KiB, so a mebibyte takes several.
  const std::string part(100 << 10, 'x');
  for (const Command& command : Commands()) {
    std::vector<std::string> args = command.args;
    for (int i = 0; i < 11; ++i) args.push_back(part);
    const Ran ran = RunBinary(command.binary, args);
    EXPECT_EQ(ran.outcome, kUsageError) << command.binary;
    EXPECT_LT(ran.output.size(), 1000u) << command.binary;
  }
}

TEST(Arguments, C2_FormatStringsAndControlCharactersAreShownEscaped) {
  const std::string forged = "x\nI 12:00:00.000 server all is well\x1b[2J";
  for (const Command& command : Commands()) {
    for (const std::string& hostile :
         {std::string("%n%s%x%999999d"), forged, std::string("\xff\xfe")}) {
      for (const std::string& flag :
           {std::string("--log-level"), absl::StrCat("--", hostile),
            std::string("--config")}) {
        std::vector<std::string> args = command.args;
        args.insert(args.end(), {flag, hostile});
        const Ran ran = RunBinary(command.binary, args);
        EXPECT_THAT(ran.outcome, ::testing::AnyOf(kUsageError, kConfigError))
            << ran.output;
        EXPECT_THAT(ran.output, Not(HasSubstr("\nI 12:00:00")));
        EXPECT_THAT(ran.output, Not(HasSubstr("\x1b")));
        EXPECT_THAT(ran.output, Not(HasSubstr("\xff")));
        EXPECT_LT(ran.output.size(), 1000u);
      }
    }
  }
}

// Names that come over the network end up in logs as well.
TEST(Arguments, C2_HostileNamesForgeNoLogLine) {
  TestCluster cluster({.servers = 1});
  const std::string forged = "x\nI 12:00:00.000 coordinator all is well";
  for (const std::string& name :
       {forged, std::string("%n%s%x"), std::string("a/../b"),
        std::string("a\0b", 3), std::string(), std::string(129, 'x'),
        std::string(1 << 20, 'x')}) {
    const absl::Status created =
        cluster.coordinator().CreateTable(CountingTable(name, 1)).status();
    EXPECT_EQ(created.code(), absl::StatusCode::kInvalidArgument) << created;
    EXPECT_LT(created.message().size(), 1000u);
    EXPECT_THAT(std::string(created.message()), Not(HasSubstr("\nI 12:00")));
    EXPECT_FALSE(cluster.coordinator().DropTable(name).ok());
    v1::JobSpec job;
    job.set_name(name);
    job.set_workers(1);
    job.set_epochs(1);
    job.set_examples(1);
    job.set_batch(1);
    job.set_batches_per_data_shard(1);
    EXPECT_EQ(cluster.coordinator().CreateJob(job).code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(cluster.log(0), Not(HasSubstr("\nI 12:00:00.000 coord")));
  EXPECT_THAT(ReadWholeFile(cluster.dir() + "/coordinator.log"),
              Not(HasSubstr("\nI 12:00:00.000 coord")));
  // The command line shows the same refusals.
  const Ran ran =
      RunBinary("paramo", {"table", "create", forged, "--dim", "1", "--address",
                           cluster.coordinator().address()});
  EXPECT_NE(ran.outcome, "exit status 0");
  EXPECT_THAT(ran.output, Not(HasSubstr("\nI 12:00")));
}

}  // namespace
}  // namespace paramo::test
