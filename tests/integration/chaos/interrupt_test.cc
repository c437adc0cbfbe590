// Who breaks off a run of paramo-chaos gets the machine back soon, also when
// the cluster cannot be whole any more.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

namespace fs = std::filesystem;

// Processes whose command line has both.
std::vector<pid_t> Find(const std::string& part, const std::string& other) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    const std::string line = ReadWholeFile(entry.path() / "cmdline");
    if (absl::StrContains(line, part) && absl::StrContains(line, other) &&
        ProcessExists(pid)) {
      found.push_back(pid);
    }
  }
  return found;
}

// What the run said first: "seed 1, in /tmp/paramo-x; network ...".
std::string DirectoryIn(const std::string& output) {
  const size_t begin = output.find(", in /");
  const size_t end = output.find(';', begin);
  if (end == std::string::npos) return "";
  return output.substr(begin + 5, end - begin - 5);
}

// A process of the run has logged it.
bool SomeLogSays(const std::string& work, const std::string& what) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(work, error)) {
    if (entry.path().extension() == ".log" &&
        absl::StrContains(ReadWholeFile(entry.path()), what)) {
      return true;
    }
  }
  return false;
}

TEST(ChaosInterruptTest, ARunWhoseClusterIsNotWholeEndsSoonAndLeavesNothing) {
  const TempDir dir;
  const std::string log = dir.path() + "/chaos.log";
  auto chaos = StartBinary(
      "paramo-chaos", {"--faults", "100000", "--kinds", "worker_kill"}, log);
  std::string work;
  ASSERT_TRUE(WaitUntil([&] {
    work = DirectoryIn(ReadWholeFile(log));
    return !work.empty() && Find(work, "--ledger").size() > 1;
  })) << ReadWholeFile(log);
  const std::vector<pid_t> servers = Find(work, "paramo-server");
  ASSERT_GT(servers.size(), 1u);
  // Nobody wakes it again, so from then on nobody sees the cluster whole.
  ASSERT_EQ(kill(servers[0], SIGSTOP), 0);
  ASSERT_TRUE(WaitUntil([&] { return SomeLogSays(work, " is down"); }));
  const absl::Time asked = absl::Now();
  chaos->Signal(SIGTERM);
  EXPECT_TRUE(chaos->WaitFor(absl::Seconds(45))) << ReadWholeFile(log);
  RecordProperty("seconds",
                 static_cast<int>(absl::ToInt64Seconds(absl::Now() - asked)));
  EXPECT_TRUE(WaitUntil([&] { return Find(work, "").empty(); }));
  EXPECT_TRUE(WaitUntil([&] { return !fs::exists(work); }));
  std::error_code error;
  fs::remove_all(work + "-logs", error);
}

}  // namespace
}  // namespace paramo::test
