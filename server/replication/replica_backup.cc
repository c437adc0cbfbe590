// A follower takes its primary's records.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "server/replication/replica.h"

namespace paramo {

PeerVerdict Replica::OnMessage(const ReplicaId& from, PeerMessage message,
                               absl::Duration now) {
  if (message.history != history_ || message.shard != options_.shard) {
    if (message.kind == PeerMessage::Kind::kAppend) Refuse(from, message);
    return PeerVerdict::kNotHeld;
  }
  return message.kind == PeerMessage::Kind::kAck ? OnAck(from, message, now)
                                                 : OnAppend(from, message);
}

PeerVerdict Replica::OnAppend(const ReplicaId& from,
                              const PeerMessage& message) {
  if (!Follows(from, message)) {
    Refuse(from, message);
    return role_ == Role::kNone ? PeerVerdict::kNotHeld
                                : PeerVerdict::kOtherTerm;
  }
  if (options_.bugs.no_epoch_check) {
    leader_ = {from, message.epoch, message.term};
  }
  if (installing_) return PeerVerdict::kGap;
  if (!WellFormed(message)) return PeerVerdict::kMalformed;
  const PeerVerdict start = MatchStart(message);
  if (start != PeerVerdict::kTaken) return start;
  for (const SentRecord& sent : message.records) {
    if (!TakeRecord(sent, message.term)) break;
  }
  if (role_ == Role::kStopped) return PeerVerdict::kDiverged;
  if (message.has(PeerMessage::kWithSum) && message.sum_lsn >= applied_) {
    sum_lsn_ = message.sum_lsn;
    sum_ = message.sum;
  }
  CommitTo(std::min(message.committed, matched_));
  CompareSum();
  if (role_ == Role::kStopped) return PeerVerdict::kDiverged;
  if (have() > acked_ || message.records.empty()) SendAck(0);
  return PeerVerdict::kTaken;
}

// Whether the sender is the primary whose term this replica is in.
bool Replica::Follows(const ReplicaId& from, const PeerMessage& message) const {
  if (options_.bugs.no_epoch_check && role_ != Role::kNone &&
      role_ != Role::kStopped && !leads()) {
    return true;
  }
  if (role_ != Role::kBackup && role_ != Role::kLearner) return false;
  if (pending_ && (pending_->fencing || pending_->term != config_.term)) {
    return false;
  }
  return message.term == config_.term && from == leader_.id;
}

// Tells a sender whose term is over, or its history. A sender with a newer
// epoch is heard once the coordinator's word has come.
void Replica::Refuse(const ReplicaId& from, const PeerMessage& message) {
  PeerMessage answer = MessageFor(PeerMessage::Kind::kAck);
  answer.history = message.history;  // any other one is not heard there
  if (role_ == Role::kStopped) {
    answer.term = message.term;
    answer.flags = PeerMessage::kLeaving;
  } else if (promised_.epoch > message.epoch &&
             (promised_.primary == 0 || promised_.term != message.term)) {
    answer.epoch = promised_.epoch;
    answer.term = promised_.term;
    answer.flags = PeerMessage::kRefused;
  } else {
    return;
  }
  effects_.Send(from, std::move(answer));
}

// Records are chained to each other and to the position before them, and
// their epochs do not decrease.
bool Replica::WellFormed(const PeerMessage& message) const {
  Lsn lsn = message.position;
  uint32_t crc = message.position_crc;
  Epoch epoch = 0;
  for (const SentRecord& sent : message.records) {
    const RecordHeader& header = sent.record.header;
    if (header.shard != options_.shard || header.history != history_ ||
        header.lsn != lsn + 1 || header.previous_crc != crc ||
        header.epoch < epoch || header.epoch > message.epoch ||
        IsMark(header)) {
      return false;
    }
    lsn = header.lsn;
    crc = header.crc32c;
    epoch = header.epoch;
  }
  return true;
}

// Whether the position before the records is ours too.
PeerVerdict Replica::MatchStart(const PeerMessage& message) {
  if (message.position > last()) {
    SendAck(PeerMessage::kRewind);
    return PeerVerdict::kGap;
  }
  const std::optional<uint32_t> crc = tail_.CrcOf(message.position);
  if (crc && *crc != message.position_crc && !options_.bugs.match_unchecked) {
    if (message.position <= committed_) {
      Stop(absl::DataLossError(absl::StrCat(
          "shard ", options_.shard, ": the primary has another record ",
          message.position, ", committed here up to ", committed_)));
      return PeerVerdict::kDiverged;
    }
    SendAck(PeerMessage::kRewind);
    return PeerVerdict::kConflict;
  }
  matched_ = std::max(matched_, message.position);
  return PeerVerdict::kTaken;
}

// Takes a record that follows what matches. False: take no more for now.
bool Replica::TakeRecord(const SentRecord& sent, Epoch term) {
  const Lsn lsn = sent.record.lsn();
  if (lsn <= last()) {
    const std::optional<uint32_t> crc = tail_.CrcOf(lsn);
    if (!crc || *crc == sent.record.header.crc32c) {
      matched_ = std::max(matched_, lsn);
      return true;
    }
    // Two records in one place: at or below commit, or both of this term, that
    // is no unlucky tail but a divergence.
    if (lsn <= committed_ || tail_.EpochOf(lsn) >= term) {
      Stop(absl::DataLossError(absl::StrCat("shard ", options_.shard,
                                            ": the primary has another "
                                            "record ",
                                            lsn, ", committed here up to ",
                                            committed_)));
      return false;
    }
    if (!TruncateTo(lsn - 1)) return false;
  }
  if (uncommitted_bytes_ > 2 * options_.tail_bytes_max) return false;
  AppendToLog(sent.record, sent.level);
  matched_ = lsn;
  listener_.Prefetch(sent.record);
  return true;
}

// Rule 3.3. Waits for a quiet log: its report of a record that is cut here
// would pass for one of the record that takes its place.
bool Replica::TruncateTo(Lsn lsn) {
  if (!quiet() && !options_.bugs.truncate_unquiet) return false;
  PARAMO_CHECK(lsn >= committed_);
  const LogPosition at = {lsn, *tail_.CrcOf(lsn), tail_.EpochOf(lsn)};
  if (!options_.bugs.truncate_unlogged) WriteMark(RecordKind::kTruncate, at);
  for (Lsn cut = lsn + 1; cut <= last(); ++cut) {
    uncommitted_bytes_ -= tail_.at(cut).record.bytes();
  }
  tail_.Truncate(lsn);
  written_ = std::min(written_, lsn);
  synced_ = std::min(synced_, lsn);
  stored_ = std::min(stored_, lsn);
  matched_ = std::min(matched_, lsn);
  listener_.OnTruncated(lsn);
  return true;
}

void Replica::SendAck(uint8_t flags) {
  if (role_ != Role::kBackup && role_ != Role::kLearner &&
      !options_.bugs.no_epoch_check) {
    return;
  }
  PeerMessage message = MessageFor(PeerMessage::Kind::kAck);
  message.epoch = leader_.epoch;
  message.term = leader_.term;
  message.flags = flags;
  if (listener_.Checksum()) message.flags |= PeerMessage::kReady;
  if (leaving_) message.flags |= PeerMessage::kLeaving;
  acked_ = have();
  message.position = acked_;
  message.last = last();
  message.last_crc = tail_.last().crc;
  effects_.Send(leader_.id, std::move(message));
}

}  // namespace paramo
