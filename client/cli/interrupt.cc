#include "client/cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "common/base/check.h"

namespace paramo::cli {

Interrupt::Interrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  // Under nohup a hangup is ignored, and must stay so.
  struct sigaction hangup {};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaddset(&signals, SIGHUP);
  PARAMO_CHECK(::pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  fd_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  PARAMO_CHECK(fd_ >= 0);
}

Interrupt::~Interrupt() { ::close(fd_); }

bool Interrupt::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!happened_) {
    pollfd fd = {fd_, POLLIN, 0};
    const int64_t left_ms = std::clamp<int64_t>(
        absl::ToInt64Milliseconds(deadline - absl::Now()), 0, 60'000);
    if (::poll(&fd, 1, static_cast<int>(left_ms)) > 0) happened_ = true;
    if (absl::Now() >= deadline) break;
  }
  return happened_;
}

}  // namespace paramo::cli
