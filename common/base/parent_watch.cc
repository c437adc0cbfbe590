#include "common/base/parent_watch.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/log.h"

namespace paramo {

ParentWatch::ParentWatch(int fd, absl::Duration grace,
                         std::function<void()> stop)
    : fd_(fd), grace_(grace), stop_(std::move(stop)) {
  if (fd_ < 0) return;
  done_fd_ = ::eventfd(0, EFD_CLOEXEC);
  PARAMO_CHECK(done_fd_ >= 0);
  thread_ = std::thread([this] { Run(); });
}

ParentWatch::~ParentWatch() {
  if (fd_ < 0) return;
  PARAMO_CHECK(::eventfd_write(done_fd_, 1) == 0);
  thread_.join();
  ::close(done_fd_);
  ::close(fd_);
}

// Waits for the end of `fd` (none when < 0), `timeout`, or our destructor.
// Returns false for the destructor.
bool ParentWatch::WaitForEnd(int fd, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    // POLLIN too: nobody writes to this pipe, so readable means its end.
    pollfd fds[] = {{done_fd_, POLLIN, 0}, {fd, POLLIN, 0}};
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    const int ready =
        ::poll(fds, 2,
               timeout == absl::InfiniteDuration()
                   ? -1
                   : static_cast<int>(std::clamp<int64_t>(left_ms, 0, 60'000)));
    if (fds[0].revents != 0 && ready > 0) return false;
    if (fds[1].revents != 0 && ready > 0) return true;
    if (ready == 0 && left_ms <= 0) return true;
  }
}

void ParentWatch::Run() {
  ::pthread_setname_np(::pthread_self(), "parent-watch");
  if (!WaitForEnd(fd_, absl::InfiniteDuration())) return;
  LogInfo("the process that started this one is gone: stopping");
  stop_();
  if (!WaitForEnd(/*fd=*/-1, grace_)) return;
  LogError("did not stop within %s: exiting at once",
           absl::FormatDuration(grace_));
  ::_exit(1);
}

}  // namespace paramo
