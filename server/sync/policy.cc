#include "server/sync/policy.h"

#include <algorithm>

namespace paramo {

void SyncPolicy::Join(WorkerId worker, WorkerClock first) {
  members_.try_emplace(worker, Member{first, first});
}

void SyncPolicy::Leave(WorkerId worker) {
  finished_ = std::max(finished_, SlowestClock());
  members_.erase(worker);
}

void SyncPolicy::EndClock(WorkerId worker, WorkerClock clock) {
  auto member = members_.find(worker);
  if (member == members_.end()) return;
  member->second.next = std::max(member->second.next, clock + 1);
}

WorkerClock SyncPolicy::SlowestClock() const {
  if (gathering_) return 0;
  if (members_.empty()) return finished_;
  WorkerClock slowest = ~WorkerClock{0};
  for (const auto& [worker, member] : members_) {
    slowest = std::min(slowest, member.next);
  }
  return slowest;
}

WorkerClock SyncPolicy::FastestClock() const {
  WorkerClock fastest = finished_;
  for (const auto& [worker, member] : members_) {
    fastest = std::max(fastest, member.next);
  }
  return fastest;
}

WorkerClock SyncPolicy::StalenessOf(WorkerClock clock) const {
  const WorkerClock fastest = FastestClock();
  return fastest > clock ? fastest - clock : 0;
}

void SyncPolicy::Restore(const std::map<WorkerId, Member>& members,
                         WorkerClock /*open_round*/, WorkerClock finished) {
  members_ = members;
  finished_ = finished;
}

}  // namespace paramo
