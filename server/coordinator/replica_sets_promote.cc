// What an operator may decide when nobody is left who has everything: with
// which copy a shard goes on, or that it begins empty. The only change of a
// shard that may lose what was acknowledged, so it begins another history:
// nobody can take the records of one for those of the other, and no session of
// the old one goes on (rule 3.10).
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "server/coordinator/replica_sets.h"

namespace paramo {

absl::Status ReplicaSets::PromoteUnsafely(ShardId shard, uint32_t server,
                                          SessionId ended_sessions) {
  PARAMO_RETURN_IF_ERROR(CheckPromotion(shard, server));
  ReplicaSet set = sets_[shard];
  const std::optional<ServerLife> chosen =
      server != 0 ? ServerLife{server, *servers_.at(server).incarnation}
                  : ChooseLearner(/*set=*/{}, shard, absl::InfiniteDuration());
  if (!chosen || HasStopped(shard, *chosen)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "shard ", shard, " cannot begin on ",
        server == 0 ? "any server: none is up, well and not drained"
                    : absl::StrCat("server ", server,
                                   ", where its replica has stopped: start "
                                   "that server again, or choose another")));
  }
  // One that nobody has: histories are named by where they begin.
  set.history = Mix64(Mix64(set.history + shard) + set.epoch) | 1;
  set.base = server != 0 ? *chosen : ServerLife{};
  set.ended_sessions = ended_sessions;
  set.primary = chosen->server;
  set.fencing = false;
  set.term = set.epoch + 1;
  set.in_sync = {*chosen};
  set.learners.clear();
  fences_.erase(shard);
  Change(shard, std::move(set));
  return absl::OkStatus();
}

absl::Status ReplicaSets::CheckPromotion(ShardId shard, uint32_t server) const {
  PARAMO_RETURN_IF_ERROR(CheckExists(shard));
  if (sets_[shard].epoch == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("shard ", shard, " has not been placed yet"));
  }
  for (const ServerLife& life : sets_[shard].in_sync) {
    if (!IsUp(life) || HasStopped(shard, life)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "shard ", shard, " is served, or will be by itself: server ",
        life.server, ", which has everything, is up; nothing need be lost"));
  }
  if (server == 0) return absl::OkStatus();
  const auto known = servers_.find(server);
  if (known == servers_.end()) {
    return absl::NotFoundError(absl::StrCat(
        "there is no server ", server, "; `paramo server list` shows them"));
  }
  if (known->second.incarnation) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "server ", server, " is down: start it, then say this again"));
}

}  // namespace paramo
