// A primary's peers: who is needed, who joins, who is dropped; and what is
// repeated by the clock.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "server/replication/replica.h"

namespace paramo {
namespace {

// A process that was paused for longer did not listen for longer.
constexpr absl::Duration kAwakeMax = absl::Milliseconds(20);

}  // namespace

void Replica::UpdatePeers(absl::Duration now) {
  std::map<ReplicaId, Peer> peers;
  const auto keep = [&](const ReplicaId& id, bool member) {
    if (id == options_.self) return;
    Peer& peer = peers[id];
    auto known = peers_.find(id);
    if (known != peers_.end()) {
      peer = std::move(known->second);
    } else {
      // As if it had everything; its answer corrects that.
      peer.id = id;
      peer.resend_from = peer.next = last() + 1;
      peer.progress_at = now;
    }
    // A newer epoch: what was asked for has happened or never will.
    peer.member = member;
    peer.required = peer.asked = peer.leaving = false;
  };
  for (const ReplicaId& id : config_.learners) keep(id, /*member=*/false);
  for (const ReplicaId& id : config_.in_sync) keep(id, /*member=*/true);
  peers_ = std::move(peers);
  for (auto& [id, peer] : peers_) {
    if (!peer.member) TryJoin(peer);
  }
}

// Rule 3.1. First every commit needs the learner: from then on it has all that
// is committed, now and later. Then it must come to the end of the log as of
// that moment. Then the coordinator is asked.
void Replica::TryJoin(Peer& peer) {
  if (peer.member || peer.leaving || !peer.ready) return;
  if (!peer.required && role_ == Role::kPrimary && peer.have >= committed_) {
    peer.required = true;
    peer.join_at = last();
  }
  if (peer.required && !peer.asked && peer.have >= peer.join_at) {
    peer.asked = true;
    Report(ReplicaReport::Kind::kJoin, peer.id);
  }
}

void Replica::Tick(absl::Duration now) {
  const absl::Duration awake = std::min(now - ticked_at_, kAwakeMax);
  ticked_at_ = now;
  if (leads()) {
    std::optional<uint64_t> sum;
    if (now - sum_at_ >= absl::Milliseconds(kPeerSumMs)) {
      sum_at_ = now;
      sum = listener_.Checksum();
    }
    for (auto& [id, peer] : peers_) {
      TickPeer(peer, awake, now);
      if (sum) SendHeartbeat(peer, sum, now);
    }
    AdvanceCommit();
  }
  if (now - reported_at_ >= absl::Milliseconds(kReplicaReportMs)) {
    TickReports(now);
  }
}

void Replica::TickPeer(Peer& peer, absl::Duration awake, absl::Duration now) {
  peer.silence += awake;
  peer.stall = peer.have < last() ? peer.stall + awake : absl::ZeroDuration();
  JudgePeer(peer);
  if (peer.source == Peer::Source::kMemory && peer.have + 1 < peer.next &&
      peer.resend_from < peer.next &&
      now - peer.progress_at > absl::Milliseconds(kPeerResendMs)) {
    peer.progress_at = now;
    peer.SendFrom(std::max(peer.have + 1, peer.resend_from));
  }
  Pump(peer, now);
  const int wait_ms =
      peer.told_commit < committed_ ? kPeerCommitMs : kPeerHeartbeatMs;
  if (now - peer.sent_at >= absl::Milliseconds(wait_ms)) {
    SendHeartbeat(peer, std::nullopt, now);
  }
}

// Whose acknowledgements are needed must give them.
void Replica::JudgePeer(Peer& peer) {
  const bool bad = peer.silence > absl::Milliseconds(kPeerSilenceMs) ||
                   peer.stall > absl::Milliseconds(kPeerStallMs);
  if (!bad || peer.leaving) return;
  if (peer.member || peer.asked) {
    peer.leaving = true;
    Report(ReplicaReport::Kind::kDrop, peer.id);
  } else {
    peer.required = false;  // nobody was told of it
  }
}

void Replica::TickReports(absl::Duration now) {
  reported_at_ = now;
  if (role_ == Role::kStopped) Report(ReplicaReport::Kind::kStopped);
  if (role_ == Role::kFenced) {
    Report(config_.fencing ? ReplicaReport::Kind::kFenced
                           : ReplicaReport::Kind::kTakeAgain);
  }
  for (const auto& [id, peer] : peers_) {
    if (peer.leaving) {
      Report(ReplicaReport::Kind::kDrop, id);
    } else if (peer.asked) {
      Report(ReplicaReport::Kind::kJoin, id);
    }
  }
}

void Replica::Report(ReplicaReport::Kind kind, const ReplicaId& peer) {
  ReplicaReport report;
  report.kind = kind;
  report.shard = options_.shard;
  report.from = options_.self;
  report.epoch = config_.epoch;
  report.peer = peer;
  report.last_epoch = tail_.last().epoch;
  report.last_lsn = last();
  effects_.Report(report);
}

std::optional<ReplicaId> Replica::PrimaryId() const {
  for (const ReplicaId& id : config_.in_sync) {
    if (id.server == config_.primary) return id;
  }
  return std::nullopt;
}

const char* RoleName(Role role) {
  static constexpr const char* kRoles[] = {"none",        "learner", "backup",
                                           "taking over", "primary", "fenced",
                                           "stopped"};
  return kRoles[static_cast<int>(role)];
}

std::string Replica::Describe() const {
  std::string text = absl::StrCat(
      RoleName(role_), ", epoch ", config_.epoch, " term ", config_.term,
      ", last ", last(), ", stored ", stored_, ", matched ", matched_,
      ", committed ", committed_, ", applied ", applied_);
  if (pending_) absl::StrAppend(&text, ", promising ", promised_.epoch);
  if (!quiet()) absl::StrAppend(&text, ", log written to ", written_);
  if (installing_) absl::StrAppend(&text, ", installing ", installing_->lsn);
  static constexpr const char* kSources[] = {"memory", "log", "checkpoint"};
  for (const auto& [id, peer] : peers_) {
    absl::StrAppend(
        &text, "; ", id.server, "#", id.incarnation, " has ", peer.have,
        ", next ", peer.next, " from ", kSources[static_cast<int>(peer.source)],
        peer.member ? ", member" : "", peer.required ? ", required" : "",
        peer.asked ? ", asked" : "", peer.leaving ? ", leaving" : "");
  }
  return text;
}

uint32_t Replica::replicas() const {
  uint32_t count = 1;
  for (const auto& [id, peer] : peers_) {
    // One that may be dropped already cannot be chosen.
    if (peer.member && !peer.leaving) ++count;
  }
  return count;
}

Lsn Replica::oldest_needed() const {
  Lsn oldest = committed_ + 1;
  for (const auto& [id, peer] : peers_) {
    oldest = std::min(oldest, peer.have > 0 ? peer.have + 1 : peer.next);
  }
  return oldest;
}

}  // namespace paramo
