// Orderly moves: what changes hands while everybody is well.
//
// A transfer is one change of configuration, without a fence. Until the
// successor has promised the new term it acknowledges records of the old one,
// and has them; from then on nothing of the old term can be committed, because
// that takes the successor's acknowledgement. So its log has all that is
// committed, and its takeover goes on as after a fence.
#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/coordinator/balance.h"
#include "server/coordinator/replica_sets.h"

namespace paramo {
namespace {

// Between two steps of balancing: by then a takeover of some 30 ms is long
// over.
constexpr absl::Duration kBalancePause = absl::Milliseconds(500);

}  // namespace

absl::Status ReplicaSets::CheckExists(ShardId shard) const {
  if (shard < sets_.size()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("there is no shard ", shard,
                                          "; the cluster has ", sets_.size(),
                                          ", from 0 on"));
}

absl::Status ReplicaSets::Transfer(ShardId shard, uint32_t server) {
  PARAMO_RETURN_IF_ERROR(CheckExists(shard));
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
    return absl::FailedPreconditionError(absl::StrCat(
        "the replica of shard ", shard, " on server ", server,
        " is down, out of reach, drained or has stopped; choose another"));
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

// One step at a time, each only while everything is well.
void ReplicaSets::Balance(absl::Duration now) {
  if (options_.balance_after == absl::ZeroDuration()) return;
  for (ShardId shard = 0; shard < sets_.size(); ++shard) {
    if (IsWhole(shard)) continue;
    whole_since_.reset();
    moving_.reset();  // what it lacks comes first
    return;
  }
  if (!whole_since_) whole_since_ = now;
  if (now - *whole_since_ < options_.balance_after) return;
  if (now - balanced_at_ < std::min(kBalancePause, options_.balance_after)) {
    return;
  }
  if (moving_) {
    if (Names(sets_[moving_->first].learners, moving_->second)) return;
    moving_.reset();  // it has joined, or was given up
  }
  balanced_at_ = now;
  if (DropSurplus() || MoveReplica(now)) return;
  MovePrimary();
}

bool ReplicaSets::IsWhole(ShardId shard) const {
  const ReplicaSet& set = sets_[shard];
  return set.epoch != 0 && !set.fencing &&
         (set.learners.empty() || IsMoving(shard)) &&
         set.in_sync.size() >= options_.replicas &&
         std::all_of(
             set.in_sync.begin(), set.in_sync.end(),
             [&](const ServerLife& life) { return IsUseful(shard, life); });
}

// A replica that has moved, or a drain that was called off, leaves one more
// than wanted, which every push waits for. The one on the fullest server goes;
// of equals, the youngest.
bool ReplicaSets::DropSurplus() {
  for (ShardId shard = 0; shard < sets_.size(); ++shard) {
    if (sets_[shard].in_sync.size() <= options_.replicas) continue;
    ReplicaSet set = sets_[shard];
    std::map<uint32_t, size_t> held = CountHeld();
    auto surplus = set.in_sync.end();
    for (auto it = set.in_sync.begin(); it != set.in_sync.end(); ++it) {
      if (it->server == set.primary) continue;
      if (surplus == set.in_sync.end() ||
          held[it->server] >= held[surplus->server]) {
        surplus = it;
      }
    }
    set.in_sync.erase(surplus);
    Change(shard, std::move(set));
    return true;
  }
  return false;
}

std::vector<ShardLead> ReplicaSets::Leads() const {
  std::vector<ShardLead> leads(sets_.size());
  for (ShardId shard = 0; shard < sets_.size(); ++shard) {
    leads[shard].primary = sets_[shard].primary;
    for (const ServerLife& life : sets_[shard].in_sync) {
      if (life.server != sets_[shard].primary) {
        leads[shard].backups.push_back(life.server);
      }
    }
  }
  return leads;
}

// The copy is made first: until it has joined, the shard has all it had.
bool ReplicaSets::MoveReplica(absl::Duration now) {
  std::vector<uint32_t> takers;
  for (const auto& [id, server] : servers_) {
    if (!IsUp(server) || server.drained) continue;
    if (!IsHeldDown(server, now)) takers.push_back(id);
  }
  const std::optional<ReplicaMove> move = NextReplicaMove(takers, Leads());
  if (!move) return false;
  const ServerLife to = {move->to, *servers_[move->to].incarnation};
  if (HasStopped(move->shard, to)) return false;
  ReplicaSet set = sets_[move->shard];
  set.learners = {to};
  moving_ = {move->shard, to};
  Change(move->shard, std::move(set));
  return true;
}

void ReplicaSets::MovePrimary() {
  std::vector<uint32_t> servers;
  for (const auto& [id, server] : servers_) {
    if (IsUp(server) && !server.drained) servers.push_back(id);
  }
  const std::optional<PrimaryMove> move = NextPrimaryMove(servers, Leads());
  if (!move) return;
  HandOver(move->shard, *MemberOf(sets_[move->shard], move->to));
}

}  // namespace paramo
