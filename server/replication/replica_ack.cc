// A primary hears of its followers, and helps those who are behind.
#include <algorithm>
#include <utility>

#include "server/replication/replica.h"

namespace paramo {
namespace {

// One loss makes every message behind it answer "send again".
constexpr absl::Duration kRewindPause = absl::Milliseconds(10);
// Acknowledgements from before a checkpoint arrive for so long at most.
constexpr absl::Duration kSeedPause = absl::Milliseconds(200);

}  // namespace

Peer* Replica::FindPeer(const ReplicaId& id) {
  auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second;
}

PeerVerdict Replica::OnAck(const ReplicaId& from, const PeerMessage& message,
                           absl::Duration now) {
  if (!leads()) return PeerVerdict::kOtherTerm;
  if (message.has(PeerMessage::kRefused)) {
    OnRefused(message);
    return PeerVerdict::kTaken;
  }
  Peer* peer = FindPeer(from);
  // Another term's acknowledgement is about another log.
  if (!peer || message.term != config_.term) return PeerVerdict::kOtherTerm;
  if (message.position > last()) return PeerVerdict::kMalformed;
  peer->silence = absl::ZeroDuration();
  peer->ready = message.has(PeerMessage::kReady);
  if (message.position > peer->have) {
    peer->Acknowledge(message.position);
    peer->progress_at = now;
    peer->stall = absl::ZeroDuration();
    if (peer->next <= peer->have) peer->SendFrom(peer->have + 1);
  }
  if (message.has(PeerMessage::kRewind)) Rewind(*peer, message, now);
  if (message.has(PeerMessage::kLeaving)) peer->leaving = true;
  TryJoin(*peer);
  Pump(*peer, now);
  AdvanceCommit();
  Trim();
  return PeerVerdict::kTaken;
}

// Epochs only grow, so the term of this primary is over for good. What comes
// after it, the coordinator says.
void Replica::OnRefused(const PeerMessage& message) {
  if (message.epoch <= config_.epoch || options_.bugs.no_epoch_check) return;
  role_ = Role::kFenced;
  SetServing(Serving::kNothing);
  peers_.clear();
}

void Replica::Rewind(Peer& peer, const PeerMessage& message,
                     absl::Duration now) {
  if (peer.source == Peer::Source::kCheckpoint) return;
  const std::optional<uint32_t> crc = tail_.CrcOf(message.last);
  const bool same = crc && *crc == message.last_crc;
  Lsn start = (same ? message.last : std::min(message.committed, last())) + 1;
  // Whoever is in sync has everything that is committed.
  if (peer.member) start = std::max(start, committed_ + 1);
  start = std::max(start, peer.have + 1);
  if (start == peer.next) return;
  if (start == peer.resend_from && now - peer.rewound_at < kRewindPause) return;
  if (start < peer.resend_from && now - peer.seeded_at < kSeedPause) return;
  peer.rewound_at = now;
  peer.resend_from = start;
  peer.SendFrom(start);
}

void Replica::OnLogRead(const ReplicaId& id, std::vector<Record> records,
                        absl::Duration now) {
  Peer* peer = FindPeer(id);
  if (!peer || peer->source != Peer::Source::kLog) return;
  peer->source = Peer::Source::kMemory;
  if (!records.empty() && records.front().header.history != history_) {
    return SeedHistory(*peer);
  }
  // The peer may have moved, and the answer may be to a question of an older
  // term; committed records are the same in all.
  std::vector<SentRecord> sent;
  for (Record& record : records) {
    if (sent.size() == kPeerRecordsMax) break;  // the rest is read again
    if (record.lsn() != peer->next + sent.size()) break;
    if (record.lsn() > committed_) break;
    sent.push_back({std::move(record), Durability::kSynced});
  }
  if (!sent.empty()) SendRecords(*peer, std::move(sent), now);
  Pump(*peer, now);
}

// Records of an earlier history are no peer's; what they led to is, once the
// history has begun.
void Replica::SeedHistory(Peer& peer) {
  if (role_ != Role::kPrimary) return;
  peer.source = Peer::Source::kCheckpoint;
  effects_.SendCheckpoint(peer.id);
}

void Replica::OnLogCut(const ReplicaId& id, absl::Duration /*now*/) {
  Peer* peer = FindPeer(id);
  if (!peer || peer->source != Peer::Source::kLog) return;
  peer->source = Peer::Source::kCheckpoint;
  effects_.SendCheckpoint(id);
}

void Replica::OnCheckpointSent(const ReplicaId& learner, Lsn lsn,
                               absl::Duration now) {
  Peer* peer = FindPeer(learner);
  if (!peer || peer->source != Peer::Source::kCheckpoint) return;
  peer->source = Peer::Source::kMemory;
  peer->seeded_at = now;
  peer->resend_from = lsn + 1;
  peer->SendFrom(lsn + 1);
  Pump(*peer, now);
}

void Replica::OnCheckpointFailed(const ReplicaId& learner,
                                 absl::Duration /*now*/) {
  Peer* peer = FindPeer(learner);
  if (!peer || peer->source != Peer::Source::kCheckpoint) return;
  // The next heartbeat's answer says where it stands.
  peer->source = Peer::Source::kMemory;
  peer->SendFrom(last() + 1);
}

}  // namespace paramo
