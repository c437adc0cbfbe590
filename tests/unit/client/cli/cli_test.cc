// The tool itself, run as a person runs it, as far as no cluster is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace paramo::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Outcome {
  int exit_status = -1;
  std::string output;  // both streams
};

Outcome Paramo(const std::string& args, const std::string& environment = "") {
  const std::string command =
      absl::StrCat("env -u PARAMO_ADDRESS ", environment, " ",
                   PARAMO_BINARY_DIR, "/paramo ", args, " 2>&1");
  Outcome outcome;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  char bytes[4096];
  for (size_t count; (count = std::fread(bytes, 1, sizeof bytes, pipe)) > 0;) {
    outcome.output.append(bytes, count);
  }
  const int status = ::pclose(pipe);
  outcome.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

TEST(Cli, HelpOfEveryCommandFitsAScreen) {
  for (const char* command : {"",
                              "dev",
                              "demo",
                              "status",
                              "doctor",
                              "config show",
                              "table create",
                              "table list",
                              "table describe",
                              "table alter",
                              "table drop",
                              "table export",
                              "shard list",
                              "shard describe",
                              "shard transfer",
                              "shard unsafe-promote",
                              "server list",
                              "server drain",
                              "server undrain",
                              "job list",
                              "job describe",
                              "job stop"}) {
    const Outcome help = Paramo(absl::StrCat(command, " --help"));
    EXPECT_EQ(help.exit_status, 0) << command;
    EXPECT_THAT(help.output, HasSubstr("Examples:\n  ")) << command;
    EXPECT_LE(std::count(help.output.begin(), help.output.end(), '\n'), 40)
        << command;
    for (absl::string_view line : absl::StrSplit(help.output, '\n')) {
      EXPECT_LE(line.size(), 80u) << command << ": " << line;
    }
  }
}

TEST(Cli, SuggestsCommandsAndFlags) {
  const Outcome command = Paramo("stauts");
  EXPECT_EQ(command.exit_status, 2);
  EXPECT_THAT(command.output, HasSubstr("did you mean `status`?"));
  EXPECT_THAT(Paramo("table lst").output, HasSubstr("did you mean `list`?"));
  const Outcome flag = Paramo("demo --wrokers 2");
  EXPECT_EQ(flag.exit_status, 2);
  EXPECT_THAT(flag.output, HasSubstr("did you mean `--workers`?"));
  EXPECT_THAT(Paramo("dev --shards 3").output, HasSubstr("power of two"));
  EXPECT_EQ(Paramo("").exit_status, 2);
  EXPECT_EQ(Paramo("table").exit_status, 2);
}

TEST(Cli, EscapesControlCharactersInWhatItRepeats) {
  const Outcome outcome = Paramo("\"$(printf '\\033[2Jx')\"");
  EXPECT_EQ(outcome.exit_status, 2);
  EXPECT_THAT(outcome.output, HasSubstr("\\x1b[2Jx"));
}

TEST(Cli, SaysThatNoClusterIsNamed) {
  const Outcome outcome = Paramo("status");
  EXPECT_EQ(outcome.exit_status, 2);
  EXPECT_THAT(outcome.output, HasSubstr("set PARAMO_ADDRESS"));
}

TEST(Cli, SaysThatNobodyAnswers) {
  // Port 1 of the loopback: nobody listens there.
  const Outcome outcome =
      Paramo("status --timeout 300ms", "PARAMO_ADDRESS=127.0.0.1:1");
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_THAT(outcome.output, HasSubstr("127.0.0.1:1"));
}

TEST(Cli, ExitsWith78OnBadConfiguration) {
  const Outcome outcome =
      Paramo("status --check-config", "PARAMO_ADDRESS=nonsense");
  EXPECT_EQ(outcome.exit_status, 78);
  EXPECT_THAT(outcome.output, HasSubstr("PARAMO_ADDRESS: `nonsense`"));
  EXPECT_EQ(Paramo("status --check-config --address 127.0.0.1:1").exit_status,
            0);
}

TEST(Cli, RefusesABadTableBeforeAskingAnybody) {
  const Outcome outcome =
      Paramo("table create ads --dim 8 --init unifrom:1 --address 127.0.0.1:1");
  EXPECT_EQ(outcome.exit_status, 2);
  EXPECT_THAT(outcome.output, HasSubstr("--init: `unifrom:1`"));
  EXPECT_EQ(Paramo("table drop ads --address 127.0.0.1:1").exit_status, 2);
  EXPECT_EQ(Paramo("table alter ads --address 127.0.0.1:1").exit_status, 2);
}

TEST(Cli, DemoWritesItsJsonLineOnFailureToo) {
  const Outcome outcome = Paramo("demo --data /nonexistent --json -");
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_THAT(outcome.output,
              StartsWith("{\"job\": \"fashion\", \"sync\": \"bsp\""));
  EXPECT_THAT(outcome.output,
              HasSubstr("\"pass\": false, \"error\": \"/nonexistent"));
}

TEST(Cli, VersionAndDoctorAnswer) {
  EXPECT_THAT(Paramo("version").output, StartsWith("paramo 0."));
  EXPECT_THAT(Paramo("doctor").output, HasSubstr("processor"));
  EXPECT_THAT(Paramo("doctor --output json").output,
              StartsWith("[{\"check\": \"processor\""));
}

}  // namespace
}  // namespace paramo::cli
