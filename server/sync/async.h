// Asynchronous: contributions are applied and pulls answered at once. Clocks
// are kept only for people to see who is slow.
#pragma once

#include "server/sync/policy.h"

namespace paramo {

class AsyncPolicy final : public SyncPolicy {
 public:
  Admission AdmitPush(WorkerId worker, WorkerClock /*clock*/) const override {
    return IsMember(worker) ? Admission::kApply : Admission::kNotAMember;
  }
  bool PullReady(WorkerClock /*clock*/) const override { return true; }
  std::optional<WorkerClock> CompleteRound() const override {
    return std::nullopt;
  }
};

}  // namespace paramo
