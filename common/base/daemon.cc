#include "common/base/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status.h"

namespace paramo {

struct StopSignal::Reason {
  Mutex mu;
  std::optional<absl::Status> why ABSL_GUARDED_BY(mu);  // the first one
};

StopSignal::StopSignal() : reason_(new Reason) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  PARAMO_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC);
  asked_ = eventfd(0, EFD_CLOEXEC);
  PARAMO_CHECK(signals_ >= 0 && asked_ >= 0);
}

StopSignal::~StopSignal() {
  close(signals_);
  close(asked_);
  delete reason_;
}

absl::Status StopSignal::Wait() {
  pollfd fds[2] = {{signals_, POLLIN, 0}, {asked_, POLLIN, 0}};
  while (poll(fds, 2, -1) < 0) PARAMO_CHECK(errno == EINTR);
  MutexLock lock(reason_->mu);
  return reason_->why.value_or(absl::OkStatus());
}

void StopSignal::Request(absl::Status why) {
  {
    MutexLock lock(reason_->mu);
    if (!reason_->why.has_value()) reason_->why = std::move(why);
  }
  uint64_t one = 1;
  PARAMO_CHECK(write(asked_, &one, sizeof(one)) == sizeof(one));
}

absl::Status WriteReadyFile(
    const std::string& path,
    const std::vector<std::pair<std::string, std::string>>& lines) {
  std::string text;
  for (const auto& [key, value] : lines) {
    absl::StrAppend(&text, key, "=", value, "\n");
  }
  std::string temporary = path + ".tmp";
  std::FILE* file = std::fopen(temporary.c_str(), "we");
  if (file == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("writing ", temporary));
  }
  bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  written &= std::fclose(file) == 0;
  if (!written || std::rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("writing ", path));
  }
  return absl::OkStatus();
}

}  // namespace paramo
