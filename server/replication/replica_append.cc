// A primary's way from append to commit.
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "server/replication/replica.h"

namespace paramo {

Lsn Replica::Append(RecordKind kind, Rope payload, Durability level,
                    absl::Duration now) {
  PARAMO_CHECK(serving_ != Serving::kNothing);
  const Lsn lsn = last() + 1;
  AppendRecord(kind, std::move(payload), level, now);
  return lsn;
}

void Replica::AppendRecord(RecordKind kind, Rope payload, Durability level,
                           absl::Duration now) {
  Record record;
  record.header.kind = static_cast<uint16_t>(kind);
  record.header.shard = options_.shard;
  record.header.epoch = config_.epoch;
  record.header.lsn = last() + 1;
  record.header.history = history_;
  record.header.previous_crc = tail_.last().crc;
  SealRecord(record.header, payload.pieces());
  record.payload = std::move(payload);
  AppendToLog(std::move(record), level);
  for (auto& [id, peer] : peers_) Pump(peer, now);
  AdvanceCommit();
}

void Replica::AdvanceCommit() {
  if (!leads()) return;
  const SeededBugs& bugs = options_.bugs;
  Lsn commit = stored_;
  for (const auto& [id, peer] : peers_) {
    if (!peer.member && !peer.required) continue;
    if (bugs.commit_alone) continue;
    if (bugs.commit_without_joiner && !peer.member) continue;
    if (bugs.takeover_alone && role_ == Role::kTakingOver) continue;
    if (bugs.shrink_early && peer.leaving) continue;
    commit = std::min(commit, peer.have);
  }
  CommitTo(commit);
}

void Replica::Pump(Peer& peer, absl::Duration now) {
  // It may have acknowledged what was asked of the log: the answer, which may
  // be behind others at the disk, is not worth a wait.
  if (peer.source == Peer::Source::kLog && tail_.Holds(peer.next)) {
    peer.source = Peer::Source::kMemory;
  }
  while (peer.source == Peer::Source::kMemory && peer.next <= last() &&
         peer.in_flight_bytes < kPeerWindowBytes) {
    if (!tail_.Holds(peer.next)) {
      peer.source = Peer::Source::kLog;
      effects_.ReadLog(peer.id, peer.next, kPeerAppendBytes);
      return;
    }
    if (tail_.at(peer.next).record.header.history != history_) {
      return SeedHistory(peer);
    }
    std::vector<SentRecord> records;
    size_t bytes = 0;
    for (Lsn lsn = peer.next; lsn <= last() && records.size() < kPeerRecordsMax;
         ++lsn) {
      const SentRecord& sent = tail_.at(lsn);
      bytes += sent.record.bytes();
      if (!records.empty() && bytes > kPeerAppendBytes) break;
      records.push_back(sent);
    }
    SendRecords(peer, std::move(records), now);
  }
}

void Replica::SendRecords(Peer& peer, std::vector<SentRecord> records,
                          absl::Duration now) {
  if (peer.have + 1 >= peer.next) peer.progress_at = now;
  PeerMessage message = MessageFor(PeerMessage::Kind::kAppend);
  message.position = peer.next - 1;
  message.position_crc = records.front().record.header.previous_crc;
  size_t bytes = 0;
  for (const SentRecord& sent : records) bytes += sent.record.bytes();
  peer.next += records.size();
  peer.in_flight.push_back({peer.next - 1, bytes});
  peer.in_flight_bytes += bytes;
  peer.told_commit = committed_;
  peer.sent_at = now;
  message.records = std::move(records);
  effects_.Send(peer.id, std::move(message));
}

void Replica::SendHeartbeat(Peer& peer, std::optional<uint64_t> sum,
                            absl::Duration now) {
  PeerMessage message = MessageFor(PeerMessage::Kind::kAppend);
  // A peer far behind is told of the end: it answers where it stands.
  const bool known = tail_.CrcOf(peer.next - 1).has_value();
  message.position = known ? peer.next - 1 : last();
  message.position_crc = *tail_.CrcOf(message.position);
  if (sum) {
    message.flags |= PeerMessage::kWithSum;
    message.sum_lsn = applied_;
    message.sum = *sum;
  }
  peer.told_commit = committed_;
  peer.sent_at = now;
  effects_.Send(peer.id, std::move(message));
}

PeerMessage Replica::MessageFor(PeerMessage::Kind kind) const {
  PeerMessage message;
  message.kind = kind;
  message.shard = options_.shard;
  message.history = history_;
  message.epoch = config_.epoch;
  message.term = config_.term;
  message.committed = committed_;
  return message;
}

}  // namespace paramo
