#include "client/cli/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/janitor.h"
#include "client/cli/local_cluster.h"

namespace paramo::cli {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLongEnough = absl::Seconds(20);

template <typename Condition>
bool WaitUntil(const Condition& condition) {
  const absl::Time deadline = absl::Now() + kLongEnough;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() : dir_(testing::TempDir() + "/paramo_process_test.XXXXXX") {
    EXPECT_NE(::mkdtemp(dir_.data()), nullptr);
  }
  ~ProcessTest() override { std::filesystem::remove_all(dir_); }

  std::unique_ptr<Process> Shell(const std::string& script, int fd = -1) {
    ProcessOptions options;
    options.name = "shell";
    options.argv = {"/bin/sh", "-c", script};
    options.log_file = dir_ + "/log";
    options.inherited_fd = fd;
    auto process = Process::Start(options);
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }
  std::string Log() {
    std::ifstream in(dir_ + "/log");
    return std::string((std::istreambuf_iterator<char>(in)), {});
  }

  std::string dir_;
};

TEST_F(ProcessTest, TellsHowAChildEnded) {
  auto good = Shell("exit 0");
  ASSERT_TRUE(good->WaitFor(kLongEnough));
  EXPECT_TRUE(good->succeeded());
  auto bad = Shell("exit 3");
  ASSERT_TRUE(bad->WaitFor(kLongEnough));
  EXPECT_FALSE(bad->succeeded());
  EXPECT_EQ(bad->Outcome(), "exit status 3");
  auto killed = Shell("kill -9 $$");
  ASSERT_TRUE(killed->WaitFor(kLongEnough));
  EXPECT_EQ(killed->Outcome(), "killed by signal 9 (Killed)");
}

TEST_F(ProcessTest, FailsToStartWhatIsNotThere) {
  ProcessOptions options;
  options.name = "ghost";
  options.argv = {"/nonexistent/paramo-ghost"};
  auto process = Process::Start(options);
  EXPECT_THAT(std::string(process.status().message()),
              HasSubstr("cannot start ghost (/nonexistent/paramo-ghost"));
  EXPECT_THAT(std::string(SiblingBinary("paramo-ghost").status().message()),
              HasSubstr("is missing; build it"));
}

TEST_F(ProcessTest, GivesTheChildALogAndACleanEnvironment) {
  ASSERT_EQ(::setenv("PARAMO_LISTEN", "1.2.3.4:5", 1), 0);
  auto child =
      Shell("echo out; echo err >&2; env; ls /proc/self/fd | tr '\\n' ' '");
  ASSERT_TRUE(child->WaitFor(kLongEnough));
  ::unsetenv("PARAMO_LISTEN");
  EXPECT_THAT(Log(), HasSubstr("out\nerr\n"));
  EXPECT_THAT(Log(), HasSubstr("PATH="));
  EXPECT_THAT(Log(), testing::Not(HasSubstr("PARAMO_LISTEN")));
}

TEST_F(ProcessTest, StopsPolitelyThenByForce) {
  auto polite = Shell(
      "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
  ASSERT_TRUE(WaitUntil([&] { return Log() == "up\n"; }));
  polite->Stop(kLongEnough);
  EXPECT_TRUE(polite->succeeded());
  EXPECT_EQ(Log(), "up\nbye\n");
  auto stubborn =
      Shell("trap '' TERM; echo deaf; while :; do sleep 0.01; done");
  ASSERT_TRUE(WaitUntil([&] { return Log() == "up\nbye\ndeaf\n"; }));
  stubborn->Stop(absl::Milliseconds(50));
  EXPECT_EQ(stubborn->Outcome(), "killed by signal 9 (Killed)");
}

TEST_F(ProcessTest, IsNotReachedByTheTerminalsSignals) {
  auto child = Shell("sleep 100");
  EXPECT_EQ(::getpgid(child->pid()), child->pid());
  EXPECT_NE(::getpgid(child->pid()), ::getpgrp());
}

TEST_F(ProcessTest, ItsDestructorLeavesNothingBehind) {
  pid_t pid = 0;
  {
    auto child = Shell("exec sleep 100");
    pid = child->pid();
    EXPECT_TRUE(std::filesystem::exists(absl::StrCat("/proc/", pid)));
  }
  EXPECT_FALSE(std::filesystem::exists(absl::StrCat("/proc/", pid)));
}

TEST_F(ProcessTest, TheInheritedPipeEndsWithTheParentsEnd) {
  auto pipe = Pipe::Make();
  ASSERT_TRUE(pipe.ok());
  auto child = Shell("read line <&3; echo ended", pipe->read.get());
  EXPECT_FALSE(child->WaitFor(absl::Milliseconds(50)));
  pipe->write.Close();
  ASSERT_TRUE(child->WaitFor(kLongEnough));
  EXPECT_EQ(Log(), "ended\n");
}

TEST_F(ProcessTest, ShowsTheEndOfALog) {
  auto child = Shell("for i in 1 2 3 4; do echo line $i; done; exit 9");
  ASSERT_TRUE(child->WaitFor(kLongEnough));
  EXPECT_EQ(LogTail(child->log_file(), 2), "    line 3\n    line 4\n");
  EXPECT_THAT(LogTail(dir_ + "/none"), HasSubstr("no log"));
  EXPECT_THAT(std::string(EndedError(*child).message()),
              HasSubstr("shell ended by itself (exit status 9)"));
}

TEST_F(ProcessTest, ReadsReadyFiles) {
  std::ofstream(dir_ + "/ready") << "address=127.0.0.1:7070\nmetrics=a=b\n\n";
  auto values = ReadReadyFile(dir_ + "/ready");
  EXPECT_EQ(values["address"], "127.0.0.1:7070");
  EXPECT_EQ(values["metrics"], "a=b");
  EXPECT_TRUE(ReadReadyFile(dir_ + "/absent").empty());
}

// The janitor, started as the tool starts it.
class JanitorTest : public ProcessTest {
 protected:
  JanitorTest() : place_(dir_ + "/place") {
    std::filesystem::create_directories(place_ + "/deep/er");
    std::ofstream(place_ + "/deep/er/file") << "x";
    auto pipe = Pipe::Make();
    EXPECT_TRUE(pipe.ok());
    ProcessOptions options;
    options.name = "janitor";
    options.argv = {std::string(PARAMO_BINARY_DIR) + "/paramo", "janitor",
                    place_};
    options.stdin_fd = pipe->read.get();
    janitor_ = *Process::Start(options);
    input_ = std::move(pipe->write);
  }
  void Tell(const std::string& line) {
    ASSERT_EQ(::write(input_.get(), line.data(), line.size()),
              static_cast<ssize_t>(line.size()));
  }

  const std::string place_;
  std::unique_ptr<Process> janitor_;
  OwnedFd input_;
};

TEST_F(JanitorTest, RemovesTheDirectoryOnceTheParentIsGone) {
  EXPECT_FALSE(janitor_->WaitFor(absl::Milliseconds(50)));
  EXPECT_TRUE(std::filesystem::exists(place_));
  input_.Close();
  ASSERT_TRUE(janitor_->WaitFor(kLongEnough));
  EXPECT_TRUE(janitor_->succeeded()) << janitor_->Outcome();
  EXPECT_FALSE(std::filesystem::exists(place_));
}

TEST_F(JanitorTest, WaitsForChildrenThatAreStopping) {
  auto child = Shell("while [ ! -e " + dir_ + "/go ]; do sleep 0.01; done");
  Tell(absl::StrCat("+", child->pid(), "\n+999999999\n-1\ngarbage\n\n"));
  input_.Close();
  EXPECT_FALSE(janitor_->WaitFor(absl::Milliseconds(100)));
  EXPECT_TRUE(std::filesystem::exists(place_));
  std::ofstream(dir_ + "/go") << "";
  ASSERT_TRUE(child->WaitFor(kLongEnough));
  ASSERT_TRUE(janitor_->WaitFor(kLongEnough));
  EXPECT_FALSE(std::filesystem::exists(place_));
}

TEST_F(JanitorTest, ForgetsChildrenThatWereReaped) {
  auto child = Shell("sleep 100");
  Tell(absl::StrCat("+", child->pid(), "\n-", child->pid(), "\n"));
  input_.Close();
  ASSERT_TRUE(janitor_->WaitFor(absl::Seconds(5)));
  EXPECT_TRUE(child->Running());
}

TEST(Janitor, KillsChildrenThatDoNotStop) {
  // RunJanitor in a process of its own, with a grace that a test can wait for.
  const std::string dir = testing::TempDir() + "/paramo_janitor_test";
  std::filesystem::create_directories(dir);
  auto pipe = Pipe::Make();
  ASSERT_TRUE(pipe.ok());
  ProcessOptions options;
  options.name = "stubborn";
  options.argv = {"/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"};
  auto child = *Process::Start(options);
  const pid_t janitor = ::fork();
  if (janitor == 0) {
    ::dup2(pipe->read.get(), 0);
    pipe->write.Close();
    ::_exit(RunJanitor(dir, absl::Milliseconds(50)));
  }
  const std::string line = absl::StrCat("+", child->pid(), "\n");
  ASSERT_EQ(::write(pipe->write.get(), line.data(), line.size()),
            static_cast<ssize_t>(line.size()));
  pipe->write.Close();
  ASSERT_TRUE(child->WaitFor(kLongEnough));
  EXPECT_EQ(child->Outcome(), "killed by signal 9 (Killed)");
  int status = 0;
  ASSERT_EQ(::waitpid(janitor, &status, 0), janitor);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(std::filesystem::exists(dir));
}

}  // namespace
}  // namespace paramo::cli
