// The two threads of the coordinator: the loop, which alone touches the Core,
// and the detector, which makes time pass for it.
//
//   any thread --Post--> inbox --> loop: run all that is there, Commit once
//   detector, every 20 ms: Core::Tick --> inbox
//
// The detector is a thread of its own so that waking time goes on while the
// loop waits for a slow disk; heartbeats reach Liveness without either.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/clock/clock.h"
#include "server/coordinator/awake_time.h"
#include "server/coordinator/core.h"

namespace paramo {

// Life: the constructor starts both threads; Stop (or the destructor) ends
// them and answers whoever still waits. Threads: any.
class Loop {
 public:
  // `now` is the waking time at which the command was posted: a request does
  // not age while it waits here.
  using Command = std::function<void(Core& core, absl::Duration now)>;

  // All outlive the loop. `on_failed` is called once, from the loop, when the
  // store has failed: the process should end.
  Loop(Core& core, AwakeTime& time,
       std::function<void(const absl::Status&)> on_failed);
  ~Loop();

  // Runs `command` in the next step.
  // Errors: UNAVAILABLE         stopping
  //         RESOURCE_EXHAUSTED  kInboxMax commands wait already
  absl::Status Post(Command command);

  void Stop();

 private:
  struct Entry {
    absl::Duration posted;
    Command command;
  };

  void Run();
  void Detect();
  std::vector<Entry> TakeInbox(bool& stop);

  Core& core_;  // touched by the loop's thread only
  AwakeTime& time_;
  const std::function<void(const absl::Status&)> on_failed_;

  Mutex mu_;
  CondVar posted_;  // or stopping
  CondVar stopped_;
  std::vector<Entry> inbox_ ABSL_GUARDED_BY(mu_);
  bool tick_posted_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread loop_;
  std::thread detector_;
};

}  // namespace paramo
