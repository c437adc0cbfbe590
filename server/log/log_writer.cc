// The writer thread: takes what came, writes it, tells; asks for a sync when a
// record does.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "server/log/log.h"

namespace paramo {

void Log::Start(LogListener& listener) {
  PARAMO_CHECK(listener_ == nullptr);
  listener_ = &listener;
  {
    MutexLock lock(mu_);
    cut_wanted_ = !options_.keep_all;  // by what was released at Open
  }
  writer_ = std::thread([this] { RunWriter(); });
  pthread_setname_np(writer_.native_handle(), "log-writer");
  syncer_ = std::thread([this] { RunSyncer(); });
  pthread_setname_np(syncer_.native_handle(), "log-syncer");
}

absl::Status Log::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    work_.NotifyOne();
  }
  if (writer_.joinable()) writer_.join();
  EndSyncer();
  MutexLock lock(mu_);
  return failure_;
}

Log::~Log() {
  const absl::Status stopped = Stop();
  if (!stopped.ok()) LogWarning("the log had failed: %s", ToString(stopped));
}

void Log::RunWriter() {
  absl::Status status;
  while (status.ok()) {
    const std::unique_ptr<LogBatch> batch = NextBatch();
    if (batch == nullptr) break;
    status = WriteBatch(*batch);
  }
  if (status.ok()) status = WriteLast();
  if (!status.ok()) Fail(status);
}

// The next batch, with all its copies made; null when everything is written
// and the log is stopping, or when a sync has failed.
std::unique_ptr<LogBatch> Log::NextBatch() {
  MutexLock lock(mu_);
  while (batch_ == nullptr && !stopping_ && sync_failure_.ok()) {
    work_.Wait(mu_);
  }
  if (batch_ == nullptr || !sync_failure_.ok()) return nullptr;
  std::unique_ptr<LogBatch> batch = std::move(batch_);
  writing_bytes_ = batch->bytes();
  while (batch->copying > 0) copied_.Wait(mu_);
  return batch;
}

absl::Status Log::WriteBatch(LogBatch& batch) {
  if (position_ - segment_.first_position >= options_.segment_bytes) {
    PARAMO_RETURN_IF_ERROR(Roll());
  }
  PARAMO_CHECK(batch.bytes() <= UINT32_MAX);
  BatchHeader header;
  header.position = position_;
  {
    MutexLock lock(mu_);
    header.durable = stats_.durable;
  }
  header.bytes =
      static_cast<uint32_t>(batch.empty() ? 0 : batch.bytes() - sizeof(header));
  header.segment_crc = segment_.header_crc;
  Seal(header);
  PARAMO_RETURN_IF_ERROR(segment_.file->Append(batch.Finish(header)));
  batch.FreeBlocks();
  position_ += batch.bytes();
  Report(batch);
  return absl::OkStatus();
}

// Says that the batch is written, and lets readers and the syncer have it.
void Log::Report(const LogBatch& batch) {
  LastLsns last;
  MutexLock telling(tell_mu_);
  {
    MutexLock lock(mu_);
    writing_bytes_ = 0;
    const uint64_t begin = position_ - batch.bytes();
    for (const LogBatch::Record& record : batch.records()) {
      last[record.shard] = record.lsn;
      const uint64_t at = begin + record.offset;
      switch (static_cast<RecordKind>(record.kind)) {
        case RecordKind::kTruncate:
          index_.AddTruncate(record.shard, record.lsn, at);
          break;
        case RecordKind::kRestart:
          index_.AddRestart(record.shard, record.lsn, at);
          break;
        default:
          index_.AddRecord(record.shard, record.lsn, begin);
          continue;
      }
      // A sync that has begun is not of what takes the place of what is cut.
      const auto syncing = syncing_.find(record.shard);
      if (syncing != syncing_.end()) {
        syncing->second = std::min(syncing->second, record.lsn);
      }
    }
    stats_.position = position_;
    stats_.batches += 1;
    stats_.records += batch.records().size();
    // Somebody may have wanted this one synced before it was written.
    WantSynced(batch.sync ? stats_.batches : 0);
  }
  for (const auto& [shard, lsn] : last) unsynced_[shard] = lsn;
  Tell(last, Durability::kWritten);
}

void Log::Tell(const LastLsns& last, Durability level) {
  std::vector<LogProgress> progress;
  progress.reserve(last.size());
  for (const auto& [shard, lsn] : last) progress.push_back({shard, lsn});
  if (!progress.empty()) listener_->OnLogged(progress, level);
}

// Returns when everything written is synced.
absl::Status Log::SyncWritten() {
  MutexLock lock(mu_);
  WantSynced(stats_.batches);
  while (batches_synced_ < stats_.batches && sync_failure_.ok()) {
    synced_.Wait(mu_);
  }
  return sync_failure_;
}

// The old segment is durable before the new one exists, which is why recovery
// takes everything before the last segment as promised.
absl::Status Log::Roll() {
  PARAMO_RETURN_IF_ERROR(SyncWritten());
  return OpenSegment();
}

// An orderly stop leaves a batch that says that all before it was synced.
absl::Status Log::WriteLast() {
  PARAMO_RETURN_IF_ERROR(SyncWritten());
  LogBatch empty(pool_);
  PARAMO_RETURN_IF_ERROR(WriteBatch(empty));
  return SyncWritten();
}

void Log::Fail(const absl::Status& status) {
  {
    MutexLock lock(mu_);
    failure_ = Annotate(status, "the log has failed");
    // Nobody joins it any more; who copies into it still is waited for.
    while (batch_ != nullptr && batch_->copying > 0) copied_.Wait(mu_);
    batch_.reset();
    writing_bytes_ = 0;
    synced_.NotifyAll();
  }
  MutexLock telling(tell_mu_);
  listener_->OnLogFailed(status);
}

}  // namespace paramo
