// The life of a replica: restoring, log reports, applying, stopping.
#include "server/replication/replica.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/check.h"

namespace paramo {
namespace {

constexpr Lsn kPrefetchedRecords = 64;

}  // namespace

Replica::Replica(const Options& options, ReplicaListener& listener,
                 ReplicaEffects& effects)
    : options_(options), listener_(listener), effects_(effects) {
  tail_.Reset({});
}

void Replica::Restore(RestoredReplica restored) {
  PARAMO_CHECK(role_ == Role::kNone && last() == 0);
  history_ = restored.history;
  promised_ = restored.promise;
  led_term_ = options_.bugs.lead_again ? 0 : promised_.term;
  tail_.Reset(restored.applied);
  committed_ = applied_ = matched_ = restored.applied.lsn;
  for (Record& record : restored.tail) {
    uncommitted_bytes_ += record.bytes();
    // At which level it was appended is not known any more.
    tail_.Append(std::move(record), Durability::kSynced);
  }
  written_ = synced_ = stored_ = last();
  if (restored.log_damaged) damaged_log_ = restored.applied;
}

void Replica::OnLogged(Lsn lsn, Durability level, absl::Duration /*now*/) {
  if (role_ == Role::kStopped) return;
  if (level == Durability::kWritten) {
    mark_unwritten_ = false;
    written_ = std::max(written_, std::min(lsn, last()));
  } else if (!mark_unwritten_) {
    synced_ = std::max(synced_, std::min(lsn, last()));
    written_ = std::max(written_, synced_);
  }
  AdvanceStored();
  if (installing_ && quiet()) FinishInstall();
  if (leads()) {
    AdvanceCommit();
  } else if (have() > acked_) {
    SendAck(0);
  }
}

void Replica::AdvanceStored() {
  while (stored_ < last()) {
    const Durability level = tail_.at(stored_ + 1).level;
    const Lsn reached = level == Durability::kMemory    ? last()
                        : level == Durability::kWritten ? written_
                                                        : synced_;
    if (stored_ >= reached && !options_.bugs.ack_before_log) return;
    ++stored_;
  }
}

void Replica::CommitTo(Lsn lsn) {
  if (lsn <= committed_) return;
  committed_ = lsn;
  Resume();
}

// A checkpoint that is being installed takes the place of what is not applied.
void Replica::Resume() {
  if (installing_) return;
  ApplyCommitted();
  if (role_ == Role::kTakingOver && applied_ >= takeover_lsn_) {
    CompleteTakeover();
  }
}

void Replica::ApplyCommitted() {
  if (applying_) return;  // Append from within Apply: the loop goes on below
  applying_ = true;
  const Lsn* end = &committed_;
  const Lsn& early = tail_.last().lsn;
  if (options_.bugs.apply_early) end = &early;
  while (applied_ < *end && role_ != Role::kStopped) {
    // A copy: what Apply appends may move the tail's records.
    const Record record = tail_.at(applied_ + 1).record;
    if (!listener_.Ready(record)) {
      PrefetchCommitted();
      break;
    }
    uncommitted_bytes_ -= record.bytes();
    ++applied_;
    listener_.Apply(record);
    CompareSum();
  }
  applying_ = false;
  Trim();
}

// So that those behind a record that waits do not wait one after another.
void Replica::PrefetchCommitted() {
  const Lsn end = std::min(committed_, applied_ + 1 + kPrefetchedRecords);
  prefetched_ = std::max(prefetched_, applied_ + 1);
  while (prefetched_ < end && role_ != Role::kStopped) {
    listener_.Prefetch(tail_.at(++prefetched_).record);
  }
}

void Replica::CompareSum() {
  if (sum_lsn_ == 0 || applied_ < sum_lsn_) return;
  const Lsn lsn = std::exchange(sum_lsn_, 0);
  if (applied_ != lsn || options_.bugs.checksum_unchecked) return;
  const std::optional<uint64_t> sum = listener_.Checksum();
  if (!sum || *sum == sum_) return;
  Stop(absl::DataLossError(absl::StrCat(
      "shard ", options_.shard, " differs from its primary at lsn ", lsn,
      ": checksum ", *sum, ", there ", sum_)));
}

void Replica::Trim() {
  Lsn needed = last();  // below it, no peer needs a record
  for (const auto& [id, peer] : peers_) needed = std::min(needed, peer.have);
  const Lsn end = std::min(applied_, stored_);
  while (tail_.first_held() <= end &&
         (tail_.first_held() <= needed ||
          tail_.bytes() - uncommitted_bytes_ > kTailKeptBytesMax)) {
    tail_.Drop(tail_.first_held());
  }
}

void Replica::SetServing(Serving serving) {
  if (serving_ == serving) return;
  serving_ = serving;
  listener_.OnServing(serving);
}

void Replica::Stop(const absl::Status& status) {
  if (role_ == Role::kStopped) return;
  role_ = Role::kStopped;
  SetServing(Serving::kNothing);
  peers_.clear();
  pending_.reset();
  installing_.reset();
  listener_.OnStopped(status);
  Report(ReplicaReport::Kind::kStopped);
}

void Replica::AppendToLog(Record record, Durability level) {
  uncommitted_bytes_ += record.bytes();
  effects_.WriteLog(record, level);
  tail_.Append(std::move(record), level);
  AdvanceStored();
  if (options_.bugs.apply_early) ApplyCommitted();
}

void Replica::WriteMark(RecordKind kind, const LogPosition& at) {
  const MarkRecord mark =
      MakeMark(kind, options_.shard, config_.epoch, history_, at.lsn, at.crc);
  const Piece piece = mark.piece();
  Record record;
  record.header = mark.header;
  record.payload = Rope::FromString(
      std::string(reinterpret_cast<const char*>(piece.data), piece.size));
  mark_unwritten_ = true;
  effects_.WriteLog(record, Durability::kWritten);
}

// A damaged log goes on behind a mark, with what could be read of it again.
// Not before there is something to follow: until then the damage tells whoever
// starts this server again that the replica is not whole.
void Replica::RestartLog() {
  if (!damaged_log_) return;
  const LogPosition at = *std::exchange(damaged_log_, std::nullopt);
  written_ = synced_ = stored_ = at.lsn;
  WriteMark(RecordKind::kRestart, at);
  if (options_.bugs.restart_bare) return;
  for (Lsn lsn = at.lsn + 1; lsn <= last(); ++lsn) {
    effects_.WriteLog(tail_.at(lsn).record, Durability::kWritten);
  }
}

void Replica::OnCheckpointInstalled(const LogPosition& at,
                                    absl::Duration /*now*/) {
  if (role_ != Role::kLearner || at.lsn <= committed_) return;
  installing_ = at;
  if (quiet()) FinishInstall();
}

void Replica::FinishInstall() {
  const LogPosition at = *std::exchange(installing_, std::nullopt);
  if (at.lsn <= committed_) return;
  if (matched_ >= at.lsn) {
    // The log has it already, and what is behind it may be acknowledged.
    for (; applied_ < at.lsn; ++applied_) {
      uncommitted_bytes_ -= tail_.at(applied_ + 1).record.bytes();
    }
    committed_ = at.lsn;
    Trim();
  } else {
    WriteMark(RecordKind::kRestart, at);
    tail_.Reset(at);
    uncommitted_bytes_ = 0;
    committed_ = applied_ = matched_ = at.lsn;
    written_ = synced_ = stored_ = at.lsn;
  }
  SendAck(0);
}

LogPosition Replica::applied_position() const {
  const std::optional<uint32_t> crc = tail_.CrcOf(applied_);
  PARAMO_CHECK(crc.has_value());
  return {applied_, *crc, tail_.EpochOf(applied_)};
}

}  // namespace paramo
