// The shards' side of the log: records go into the batch under construction.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status.h"
#include "server/log/log.h"

namespace paramo {
namespace {

// A copy of so many bytes (about 1 us) costs less than a second round of the
// lock; larger ones are made without it.
constexpr size_t kCopyLockedBytesMax = 16 << 10;

}  // namespace

// A shard new to this log starts anywhere; others go on where they are.
absl::Status Log::CheckChain(const RecordHeader& header) {
  const auto found = chains_.find(header.shard);
  if (found == chains_.end()) return absl::OkStatus();
  const Chain& chain = found->second;
  const auto kind = static_cast<RecordKind>(header.kind);
  if (kind == RecordKind::kRestart) return absl::OkStatus();
  if (chain.damaged) {
    return absl::InternalError(
        absl::StrCat("shard ", header.shard,
                     " is damaged in this log and must begin with a restart"));
  }
  const bool fits =
      kind == RecordKind::kTruncate
          ? header.lsn <= chain.lsn
          : header.lsn == chain.lsn + 1 && header.previous_crc == chain.crc;
  if (fits) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      "lsn ", header.lsn, " of shard ", header.shard, " chained to ",
      header.previous_crc, " was appended behind lsn ", chain.lsn,
      " with checksum ", chain.crc));
}

absl::Status Log::Append(const RecordHeader& header,
                         absl::Span<const Piece> payload, Durability level) {
  if (header.length > kLogPayloadBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a log record of ", header.length, " bytes; at most ",
                     kLogPayloadBytesMax));
  }
  const size_t bytes = sizeof(header) + header.length;
  LogRoom room;
  LogBatch* batch = nullptr;
  {
    MutexLock lock(mu_);
    PARAMO_RETURN_IF_ERROR(failure_);
    PARAMO_CHECK(!stopping_);
    PARAMO_RETURN_IF_ERROR(CheckChain(header));
    chains_[header.shard] = {
        header.lsn, IsMark(header) ? header.previous_crc : header.crc32c,
        /*damaged=*/false};
    if (header.kind == static_cast<uint16_t>(RecordKind::kRestart)) {
      Lsn& released = released_[header.shard];
      released = std::min(released, header.lsn);
    }
    if (batch_ == nullptr) batch_ = std::make_unique<LogBatch>(pool_);
    batch = batch_.get();
    if (batch->empty()) work_.NotifyOne();
    room = batch->Reserve(header);
    if (level == Durability::kSynced) batch->sync = true;
    if (bytes <= kCopyLockedBytesMax) {
      CopyRecord(header, payload, room);
      return absl::OkStatus();
    }
    ++batch->copying;
  }
  // The writer waits for `copying`, so the batch stays until it is done.
  CopyRecord(header, payload, room);
  MutexLock lock(mu_);
  if (--batch->copying == 0) copied_.NotifyOne();
  return absl::OkStatus();
}

absl::Status Log::SyncAppended() {
  MutexLock lock(mu_);
  const uint64_t batches = BatchesAppended();
  WantSynced(batches);
  while (batches_synced_ < batches && failure_.ok()) synced_.Wait(mu_);
  return failure_;
}

size_t Log::BufferedBytes() const {
  return writing_bytes_ + (batch_ == nullptr ? 0 : batch_->bytes());
}

bool Log::FitsBuffer(size_t bytes) const {
  return BufferedBytes() + bytes <= options_.buffer_bytes;
}

bool Log::HasRoom(size_t bytes) const {
  MutexLock lock(mu_);
  return FitsBuffer(bytes + sizeof(RecordHeader));
}

// What recovery found bad stays while a shard is damaged by it: without it the
// next recovery would take the shard for whole.
std::optional<SegmentName> Log::Unneeded() const {
  const bool keep = index_.OldestIsBad() &&
                    std::any_of(chains_.begin(), chains_.end(),
                                [](const auto& c) { return c.second.damaged; });
  return keep ? std::nullopt : index_.Unneeded(released_);
}

void Log::Release(ShardId shard, Lsn lsn) {
  MutexLock lock(mu_);
  Lsn& released = released_[shard];
  if (lsn <= released) return;
  released = lsn;
  if (options_.keep_all || !Unneeded()) return;
  cut_wanted_ = true;
  syncer_work_.NotifyOne();
}

LogStats Log::Stats() const {
  MutexLock lock(mu_);
  LogStats stats = stats_;
  stats.segments = index_.segments();
  stats.segment_bytes = stats.position - index_.first_position();
  stats.buffered_bytes = BufferedBytes();
  for (const auto& [shard, lsn] : index_.Oldest(released_)) {
    stats.oldest_needed.push_back({shard, lsn});
  }
  return stats;
}

}  // namespace paramo
