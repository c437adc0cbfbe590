// Bulk synchronous parallel: round c holds every live member's step c and is
// applied as one; a pull at clock c waits until round c - 1 is closed.
//
//   worker 0   push c --------------. wait . pull c+1
//   worker 1   ....... push c --.  closed     pull c+1
//                               `-> round c complete: mean, rule, close
#pragma once

#include "server/sync/policy.h"

namespace paramo {

class BspPolicy final : public SyncPolicy {
 public:
  // A member that joins behind the open round starts in the open round.
  void Join(WorkerId worker, WorkerClock first) override;

  Admission AdmitPush(WorkerId worker, WorkerClock clock) const override;
  bool PullReady(WorkerClock clock) const override { return clock <= open_; }
  std::optional<WorkerClock> CompleteRound() const override;
  void CloseRound(WorkerClock round) override;

  WorkerClock open_round() const override { return open_; }
  void Restore(const std::map<WorkerId, Member>& members,
               WorkerClock open_round) override;

 private:
  WorkerClock open_ = 0;  // the lowest round not closed
};

}  // namespace paramo
