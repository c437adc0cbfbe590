#include "common/base/parent_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mutex.h"

namespace paramo {
namespace {

struct Pipe {
  Pipe() { EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0); }
  int fds[2];
};

TEST(ParentWatch, CallsStopOnceThePipeEnds) {
  Pipe pipe;
  Mutex mu;
  CondVar stopped;
  int calls = 0;
  ParentWatch watch(pipe.fds[0], absl::Seconds(60), [&] {
    MutexLock lock(mu);
    ++calls;
    stopped.NotifyAll();
  });
  {
    MutexLock lock(mu);
    EXPECT_EQ(calls, 0);
  }
  ::close(pipe.fds[1]);
  MutexLock lock(mu);
  while (calls == 0) stopped.Wait(mu);
  EXPECT_EQ(calls, 1);
}

TEST(ParentWatch, EndsQuietlyWhileTheParentLives) {
  Pipe pipe;
  {
    ParentWatch watch(pipe.fds[0], absl::Seconds(60), [] { FAIL(); });
  }
  EXPECT_EQ(::fcntl(pipe.fds[0], F_GETFD), -1);  // it owned its end
  ::close(pipe.fds[1]);
}

TEST(ParentWatch, WatchesNothingWithoutAPipe) {
  ParentWatch watch(-1, absl::Seconds(60), [] { FAIL(); });
}

TEST(ParentWatch, ExitsWhenStoppingTakesTooLong) {
  Pipe pipe;
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe.fds[1]);
    ParentWatch watch(pipe.fds[0], absl::Milliseconds(20), [] {});
    while (true) ::pause();
  }
  ::close(pipe.fds[0]);
  ::close(pipe.fds[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST(ParentWatch, StopsWhenTheParentIsKilled) {
  // A parent that is killed with SIGKILL, and its child, which must notice.
  Pipe lifeline;
  Pipe report;
  const pid_t parent = ::fork();
  if (parent == 0) {
    if (::fork() == 0) {
      ::close(lifeline.fds[1]);
      ParentWatch watch(lifeline.fds[0], absl::Seconds(60), [&] {
        [[maybe_unused]] ssize_t written = ::write(report.fds[1], "s", 1);
        ::_exit(0);
      });
      if (::write(report.fds[1], "r", 1) != 1) ::_exit(1);  // watching
      while (true) ::pause();
    }
    while (true) ::pause();
  }
  ::close(lifeline.fds[0]);
  ::close(lifeline.fds[1]);
  ::close(report.fds[1]);
  char byte = 0;
  ASSERT_EQ(::read(report.fds[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'r');
  ASSERT_EQ(::kill(parent, SIGKILL), 0);
  ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  ASSERT_EQ(::read(report.fds[0], &byte, 1), 1);  // 0 if it just vanished
  EXPECT_EQ(byte, 's');
  ::close(report.fds[0]);
}

}  // namespace
}  // namespace paramo
