#include "server/sync/bsp.h"

#include <algorithm>

#include "common/base/check.h"

namespace paramo {

void BspPolicy::Join(WorkerId worker, WorkerClock first) {
  SyncPolicy::Join(worker, std::max(first, open_));
}

Admission BspPolicy::AdmitPush(WorkerId worker, WorkerClock clock) const {
  auto member = members_.find(worker);
  if (member == members_.end()) return Admission::kNotAMember;
  // A step that the member has ended takes nothing more.
  if (clock < open_ || clock < member->second.next) return Admission::kDrop;
  return Admission::kAccumulate;
}

// Complete when every member that is part of the open round has ended it, and
// somebody has: a job nobody is in stands still. Rounds that no member is part
// of (all joined later) close empty.
std::optional<WorkerClock> BspPolicy::CompleteRound() const {
  if (members_.empty()) return std::nullopt;
  for (const auto& [worker, member] : members_) {
    if (member.first <= open_ && member.next <= open_) return std::nullopt;
  }
  return open_;
}

void BspPolicy::CloseRound(WorkerClock round) {
  PARAMO_CHECK(round == open_);  // invariant 2
  ++open_;
}

void BspPolicy::Restore(const std::map<WorkerId, Member>& members,
                        WorkerClock open_round) {
  SyncPolicy::Restore(members, open_round);
  open_ = open_round;
}

}  // namespace paramo
