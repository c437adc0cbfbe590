// One thread of a ClientExecutor: a completion queue, closures posted to it,
// and timers.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/clock/clock.h"
#include "common/transport/completion.h"
#include "common/transport/live_calls.h"

namespace grpc {
class Alarm;
class CompletionQueue;
}  // namespace grpc

namespace paramo {

class TimerTarget {
 public:
  virtual ~TimerTarget() = default;
  virtual void OnTimer(absl::Duration now) = 0;
};

// Threads: any, for everything. No lock is held while closures, timers and
// completions run.
class ClientLoop final : private Completion {
 public:
  explicit ClientLoop(int index);
  // Waits until no call is live, runs what was posted, joins the thread.
  ~ClientLoop();

  grpc::CompletionQueue* queue() { return queue_.get(); }
  LiveCalls& live() { return live_; }

  // Steady time.
  absl::Duration Now() const { return clock_.Now(); }
  bool OnThread() const {
    return std::this_thread::get_id() == thread_.get_id();
  }

  // Runs `task` on the loop's thread, soon, in the order posted.
  void Post(std::function<void()> task);

  // Calls target->OnTimer once, at `at` or soon after, if it still exists.
  void WakeAt(absl::Duration at, std::weak_ptr<TimerTarget> target);

  // Calls of OnTimer that are still to come.
  size_t timers() const {
    MutexLock lock(mu_);
    return timers_.size();
  }

 private:
  void Run(int index);
  void RunPosted();
  void RunTimers();
  absl::Duration NextWake();

  // The thread may be asleep in the queue: an alarm for now wakes it.
  void Poke() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Complete(bool ok) override;  // of that alarm

  const SteadyClock clock_;
  LiveCalls live_;
  std::unique_ptr<grpc::CompletionQueue> queue_;
  std::unique_ptr<grpc::Alarm> alarm_;

  mutable Mutex mu_;
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mu_);
  std::multimap<absl::Duration, std::weak_ptr<TimerTarget>> timers_
      ABSL_GUARDED_BY(mu_);
  // When the thread, asleep or about to be, wakes by itself.
  absl::Duration wakes_at_ ABSL_GUARDED_BY(mu_) = absl::ZeroDuration();
  bool poked_ ABSL_GUARDED_BY(mu_) = false;  // the alarm is set

  std::thread thread_;
};

}  // namespace paramo
