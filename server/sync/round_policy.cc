#include "server/sync/round_policy.h"

#include <algorithm>

#include "common/base/check.h"

namespace paramo {

void RoundPolicy::Join(WorkerId worker, WorkerClock first) {
  SyncPolicy::Join(worker, std::max(first, open_));
}

Admission RoundPolicy::AdmitPush(WorkerId worker, WorkerClock clock) const {
  auto member = members_.find(worker);
  if (member == members_.end()) return Admission::kNotAMember;
  // A step that the member has ended takes nothing more.
  if (clock < open_ || clock < member->second.next) return Admission::kDrop;
  return Admission::kAccumulate;
}

RoundPolicy::Attendance RoundPolicy::Count() const {
  Attendance count;
  for (const auto& [worker, member] : members_) {
    if (member.first > open_) continue;
    ++count.expected;
    if (member.next > open_) ++count.ended;
  }
  return count;
}

// A job nobody is in stands still. A round that no member is part of (all
// joined later) closes empty, and those behind it are passed over.
std::optional<WorkerClock> RoundPolicy::CompleteRound() const {
  if (members_.empty()) return std::nullopt;
  Attendance count = Count();
  if (count.expected == 0) return open_;
  size_t needed = count.expected;
  if (spec_.kind == SyncKind::kRound) {
    needed = spec_.quorum;
  } else if (spec_.backup_workers > 0) {
    // At least one: a round of backups alone would be empty.
    needed -= std::min<size_t>(spec_.backup_workers, needed - 1);
  }
  if (count.ended < needed) return std::nullopt;
  return open_;
}

bool RoundPolicy::RoundHasContributor() const { return Count().ended > 0; }

void RoundPolicy::CloseRound(WorkerClock round) {
  PARAMO_CHECK(round == open_);  // invariant 2
  ++open_;
}

void RoundPolicy::PassEmptyRounds(WorkerClock contributed) {
  WorkerClock first = contributed;
  for (const auto& [worker, member] : members_) {
    first = std::min(first, member.first);
  }
  if (!members_.empty()) open_ = std::max(open_, first);
}

void RoundPolicy::Restore(const std::map<WorkerId, Member>& members,
                          WorkerClock open_round, WorkerClock finished) {
  SyncPolicy::Restore(members, open_round, finished);
  open_ = open_round;
}

}  // namespace paramo
