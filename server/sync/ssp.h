// Stale synchronous parallel, ssp(s): contributions are applied at once; a pull
// at clock c waits until the slowest live worker has finished c - s steps. So
// nobody reads a state that lacks a step older than that, and nobody runs more
// than s steps ahead. Source: Ho et al. 2013.
#pragma once

#include "server/sync/policy.h"

namespace paramo {

class SspPolicy final : public SyncPolicy {
 public:
  explicit SspPolicy(const SyncSpec& spec) : staleness_(spec.staleness) {}

  Admission AdmitPush(WorkerId worker, WorkerClock /*clock*/) const override {
    return IsMember(worker) ? Admission::kApply : Admission::kNotAMember;
  }
  bool PullReady(WorkerClock clock) const override {
    return members_.empty() || clock <= SlowestClock() + staleness_;
  }
  std::optional<WorkerClock> CompleteRound() const override {
    return std::nullopt;
  }

 private:
  const WorkerClock staleness_;
};

}  // namespace paramo
