// Orderly moves: what changes hands while everybody is well.
//
// A transfer is one change of configuration, without a fence. Until the
// successor has promised the new term it acknowledges records of the old one,
// and has them; from then on nothing of the old term can be committed, because
// that takes the successor's acknowledgement. So its log has all that is
// committed, and its takeover goes on as after a fence.
#include "absl/strings/str_cat.h"
#include "server/coordinator/replica_sets.h"

namespace paramo {

absl::Status ReplicaSets::Transfer(ShardId shard, uint32_t server) {
  if (shard >= sets_.size()) {
    return absl::NotFoundError(absl::StrCat("there is no shard ", shard,
                                            "; the cluster has ", sets_.size(),
                                            ", from 0 on"));
  }
  ReplicaSet set = sets_[shard];
  if (set.epoch == 0 || set.fencing) {
    return absl::FailedPreconditionError(absl::StrCat(
        "shard ", shard, " has no primary at the moment; try again"));
  }
  if (set.primary == server) return absl::OkStatus();
  std::optional<ServerLife> successor = MemberOf(set, server);
  if (options_.transfer_lagging && !set.learners.empty()) {
    successor = set.learners[0];
    server = successor->server;
    set.in_sync = {*successor};
    set.learners.clear();
  }
  if (!successor) {
    return absl::FailedPreconditionError(absl::StrCat(
        "server ", server, " has no replica of shard ", shard,
        " that is in sync; `paramo shard describe ", shard, "` says who has"));
  }
  if (!IsUp(*successor) || HasStopped(shard, *successor)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the replica of shard ", shard, " on server ", server,
                     " is not well; choose another"));
  }
  set.primary = server;
  set.term = set.epoch + 1;
  Change(shard, std::move(set));
  return absl::OkStatus();
}

}  // namespace paramo
