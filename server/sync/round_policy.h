// Policies with rounds: contributions to step c are kept until round c closes
// and are applied as one; a pull at clock c waits until round c - 1 is closed.
//
//   worker 0   push c --------------. wait . pull c+1
//   worker 1   ....... push c --.  closed     pull c+1
//                               `-> round c complete: mean, rule, close
//
// bsp: complete when every live member of the round has ended it. With b backup
// workers: when all but b have. round(quorum, deadline): when a quorum has, or
// at the deadline, which the shard keeps and logs as a decision.
#pragma once

#include "server/sync/policy.h"

namespace paramo {

class RoundPolicy final : public SyncPolicy {
 public:
  explicit RoundPolicy(const SyncSpec& spec) : spec_(spec) {}

  // A member that joins behind the open round starts in the open round.
  void Join(WorkerId worker, WorkerClock first) override;

  Admission AdmitPush(WorkerId worker, WorkerClock clock) const override;
  bool PullReady(WorkerClock clock) const override { return clock <= open_; }
  std::optional<WorkerClock> CompleteRound() const override;
  void CloseRound(WorkerClock round) override;
  void PassEmptyRounds(WorkerClock contributed) override;
  bool RoundHasContributor() const override;

  // Every contribution to a round is computed at the same values.
  WorkerClock StalenessOf(WorkerClock clock) const override {
    return open_ > clock ? open_ - clock : 0;
  }

  WorkerClock open_round() const override { return open_; }
  WorkerClock VisibleClock() const override { return open_; }
  void Restore(const std::map<WorkerId, Member>& members,
               WorkerClock open_round, WorkerClock finished) override;

 private:
  // Members that the open round counts, and those of them that ended it.
  struct Attendance {
    size_t expected = 0;
    size_t ended = 0;
  };
  Attendance Count() const;

  const SyncSpec spec_;
  WorkerClock open_ = 0;  // the lowest round not closed
};

}  // namespace paramo
