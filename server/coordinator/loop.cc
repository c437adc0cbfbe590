#include "server/coordinator/loop.h"

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {

Loop::Loop(Core& core, AwakeTime& time,
           std::function<void(const absl::Status&)> on_failed)
    : core_(core),
      time_(time),
      on_failed_(std::move(on_failed)),
      loop_([this] { Run(); }),
      detector_([this] { Detect(); }) {}

Loop::~Loop() { Stop(); }

void Loop::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    posted_.NotifyAll();
    stopped_.NotifyAll();
  }
  if (detector_.joinable()) detector_.join();
  if (loop_.joinable()) loop_.join();
}

absl::Status Loop::Post(Command command) {
  // Read before the lock: entries may be out of order by microseconds, which
  // nothing minds.
  absl::Duration now = time_.Now();
  MutexLock lock(mu_);
  if (stopping_) return absl::UnavailableError("the coordinator stops");
  if (inbox_.size() >= kInboxMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kInboxMax, " requests wait already; try again in ",
                     kRetryAfterMs, " ms"));
  }
  inbox_.push_back({now, std::move(command)});
  posted_.NotifyAll();
  return absl::OkStatus();
}

std::vector<Loop::Entry> Loop::TakeInbox(bool& stop) {
  MutexLock lock(mu_);
  while (inbox_.empty() && !stopping_) posted_.Wait(mu_);
  stop = stopping_;
  tick_posted_ = false;
  return std::exchange(inbox_, {});
}

void Loop::Run() {
  bool failed = false;
  for (bool stop = false; !stop;) {
    for (Entry& entry : TakeInbox(stop)) entry.command(core_, entry.posted);
    absl::Status status = core_.Commit(time_.Now());
    if (status.ok() || failed) continue;
    failed = true;
    LogError("the store failed, nothing can change any more: %s",
             ToString(status));
    on_failed_(status);
  }
  core_.Close(time_.Now());
}

void Loop::Detect() {
  MutexLock lock(mu_);
  while (!stopping_) {
    stopped_.WaitFor(mu_, kDetectorPeriod);
    absl::Duration now = time_.Now();
    // One tick at a time: a busy loop is not helped by a queue of them.
    if (stopping_ || std::exchange(tick_posted_, true)) continue;
    inbox_.push_back(
        {now, [](Core& core, absl::Duration then) { core.Tick(then); }});
    posted_.NotifyAll();
  }
}

}  // namespace paramo
