// Orderly moves: what changes hands while everybody is well.
//
// A transfer is one change of configuration, without a fence. Until the
// successor has promised the new term it acknowledges records of the old one,
// and has them; from then on nothing of the old term can be committed, because
// that takes the successor's acknowledgement. So its log has all that is
// committed, and its takeover goes on as after a fence.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/coordinator/replica_sets.h"

namespace paramo {

absl::Status ReplicaSets::Transfer(ShardId shard, uint32_t server) {
  if (shard >= sets_.size()) {
    return absl::NotFoundError(absl::StrCat("there is no shard ", shard,
                                            "; the cluster has ", sets_.size(),
                                            ", from 0 on"));
  }
  const ReplicaSet& set = sets_[shard];
  if (set.epoch == 0 || set.fencing) {
    return absl::FailedPreconditionError(absl::StrCat(
        "shard ", shard, " has no primary at the moment; try again"));
  }
  if (set.primary == server) return absl::OkStatus();
  if (options_.transfer_lagging && !set.learners.empty()) {
    HandOver(shard, set.learners[0]);
    return absl::OkStatus();
  }
  const std::optional<ServerLife> successor = MemberOf(set, server);
  if (!successor) {
    return absl::FailedPreconditionError(absl::StrCat(
        "server ", server, " has no replica of shard ", shard,
        " that is in sync; `paramo shard describe ", shard, "` says who has"));
  }
  if (!IsUseful(shard, *successor)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the replica of shard ", shard, " on server ", server,
                     " is down, has stopped or is drained; choose another"));
  }
  HandOver(shard, *successor);
  return absl::OkStatus();
}

void ReplicaSets::HandOver(ShardId shard, const ServerLife& successor) {
  ReplicaSet set = sets_[shard];
  set.primary = successor.server;
  set.term = set.epoch + 1;
  if (options_.transfer_lagging) {
    std::erase(set.learners, successor);
    set.in_sync = {successor};
  }
  Change(shard, std::move(set));
}

void ReplicaSets::SetDrained(uint32_t server, bool drained) {
  servers_[server].drained = drained;
}

// To the member that leads fewest. Where all others are missing or behind, this
// waits for a learner to join.
void ReplicaSets::LeaveDrainedPrimary(ShardId shard) {
  const ReplicaSet& set = sets_[shard];
  if (set.fencing) return;
  const std::optional<ServerLife> primary = PrimaryOf(set);
  if (!primary || !IsDrained(*primary)) return;
  std::optional<ServerLife> successor;
  for (const ServerLife& life : set.in_sync) {
    if (!IsUseful(shard, life)) continue;
    if (!successor || CountLed(life.server) < CountLed(successor->server)) {
      successor = life;
    }
  }
  if (successor) HandOver(shard, *successor);
}

}  // namespace paramo
