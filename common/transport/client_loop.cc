#include "common/transport/client_loop.h"

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <pthread.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/transport/settings.h"

namespace paramo {

ClientLoop::ClientLoop(int index) {
  KeepGrpcInitialised();
  queue_ = std::make_unique<grpc::CompletionQueue>();
  alarm_ = std::make_unique<grpc::Alarm>();
  thread_ = std::thread([this, index] { Run(index); });
}

ClientLoop::~ClientLoop() {
  live_.WaitForNone();
  queue_->Shutdown();
  thread_.join();
  RunPosted();  // whatever came after the thread's last look
}

void ClientLoop::Post(std::function<void()> task) {
  MutexLock lock(mu_);
  posted_.push_back(std::move(task));
  Poke();
}

void ClientLoop::WakeAt(absl::Duration at, std::weak_ptr<TimerTarget> target) {
  MutexLock lock(mu_);
  timers_.emplace(at, std::move(target));
  if (at < wakes_at_) Poke();
}

void ClientLoop::Poke() {
  if (poked_ || OnThread()) return;  // the thread looks before it sleeps
  poked_ = true;
  alarm_->Set(queue_.get(), gpr_now(GPR_CLOCK_MONOTONIC),
              static_cast<Completion*>(this));
}

void ClientLoop::Complete(bool) {
  MutexLock lock(mu_);
  poked_ = false;
}

absl::Duration ClientLoop::NextWake() {
  MutexLock lock(mu_);
  wakes_at_ =
      timers_.empty() ? absl::InfiniteDuration() : timers_.begin()->first;
  return wakes_at_;
}

void ClientLoop::Run(int index) {
  pthread_setname_np(pthread_self(), absl::StrCat("client-", index).c_str());
  for (;;) {
    RunPosted();
    RunTimers();
    const absl::Duration wake = NextWake();
    const gpr_timespec deadline =
        wake == absl::InfiniteDuration()
            ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
            : gpr_time_add(
                  gpr_now(GPR_CLOCK_MONOTONIC),
                  gpr_time_from_nanos(absl::ToInt64Nanoseconds(wake - Now()),
                                      GPR_TIMESPAN));
    void* tag;
    bool ok;
    switch (queue_->AsyncNext(&tag, &ok, deadline)) {
      case grpc::CompletionQueue::SHUTDOWN:
        return;
      case grpc::CompletionQueue::TIMEOUT:
        break;
      case grpc::CompletionQueue::GOT_EVENT:
        static_cast<Completion*>(tag)->Complete(ok);
        break;
    }
  }
}

void ClientLoop::RunPosted() {
  std::vector<std::function<void()>> tasks;
  {
    MutexLock lock(mu_);
    tasks.swap(posted_);
  }
  for (const auto& task : tasks) task();
}

void ClientLoop::RunTimers() {
  std::vector<std::weak_ptr<TimerTarget>> due;
  const absl::Duration now = Now();
  {
    MutexLock lock(mu_);
    const auto end = timers_.upper_bound(now);
    for (auto it = timers_.begin(); it != end; ++it)
      due.push_back(std::move(it->second));
    timers_.erase(timers_.begin(), end);
  }
  for (const auto& target : due)
    if (auto alive = target.lock()) alive->OnTimer(now);
}

}  // namespace paramo
