// The writer thread: takes what came, writes it, syncs when asked to, tells.
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
  writer_ = std::thread([this] { Run(); });
  pthread_setname_np(writer_.native_handle(), "log-writer");
}

absl::Status Log::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    work_.NotifyOne();
  }
  if (writer_.joinable()) writer_.join();
  MutexLock lock(mu_);
  return failure_;
}

Log::~Log() {
  const absl::Status stopped = Stop();
  if (!stopped.ok()) LogWarning("the log had failed: %s", ToString(stopped));
}

void Log::Run() {
  absl::Status status;
  while (status.ok()) {
    uint64_t syncs_wanted = 0;
    const std::unique_ptr<LogBatch> batch = NextBatch(syncs_wanted);
    if (batch == nullptr) break;
    if (!batch->empty()) status = WriteBatch(*batch);
    if (status.ok()) status = SyncWanted(syncs_wanted);
    if (status.ok()) CutFront();
  }
  if (status.ok()) status = WriteLast();
  if (!status.ok()) Fail(status);
}

// The next batch, with all its copies made; an empty one when only segments
// are to be cut or a sync is wanted; null when the log is stopping and
// everything is written.
std::unique_ptr<LogBatch> Log::NextBatch(uint64_t& syncs_wanted) {
  MutexLock lock(mu_);
  auto has_work = [this] {
    mu_.AssertHeld();
    return batch_ != nullptr || cut_wanted_ || syncs_wanted_ > syncs_done_;
  };
  while (!has_work() && !stopping_) work_.Wait(mu_);
  if (!has_work()) return nullptr;
  syncs_wanted = syncs_wanted_;
  std::unique_ptr<LogBatch> batch = std::move(batch_);
  if (batch == nullptr) return std::make_unique<LogBatch>(pool_);
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
  header.durable = durable_;
  header.bytes =
      static_cast<uint32_t>(batch.empty() ? 0 : batch.bytes() - sizeof(header));
  header.segment_crc = segment_.header_crc;
  Seal(header);
  PARAMO_RETURN_IF_ERROR(segment_.file->Append(batch.Finish(header)));
  batch.FreeBlocks();
  position_ += batch.bytes();
  Report(batch);
  return batch.sync ? Sync() : absl::OkStatus();
}

// Says that the batch is written, and lets readers have it.
void Log::Report(const LogBatch& batch) {
  absl::flat_hash_map<ShardId, Lsn> last;
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
      }
    }
    stats_.position = position_;
    stats_.batches += 1;
    stats_.records += batch.records().size();
  }
  for (const auto& [shard, lsn] : last) unsynced_[shard] = lsn;
  Tell(last, Durability::kWritten);
}

void Log::Tell(const absl::flat_hash_map<ShardId, Lsn>& last,
               Durability level) {
  std::vector<LogProgress> progress;
  progress.reserve(last.size());
  for (const auto& [shard, lsn] : last) progress.push_back({shard, lsn});
  if (!progress.empty()) listener_->OnLogged(progress, level);
}

absl::Status Log::Sync() {
  PARAMO_RETURN_IF_ERROR(segment_.file->Sync());
  durable_ = position_;
  {
    MutexLock lock(mu_);
    stats_.durable = durable_;
    stats_.syncs += 1;
  }
  const auto synced = std::move(unsynced_);
  unsynced_.clear();
  Tell(synced, Durability::kSynced);
  return absl::OkStatus();
}

// Serves the calls of SyncAppended that came before the batch was taken.
absl::Status Log::SyncWanted(uint64_t syncs_wanted) {
  {
    MutexLock lock(mu_);
    if (syncs_wanted == syncs_done_) return absl::OkStatus();
  }
  if (durable_ != position_) PARAMO_RETURN_IF_ERROR(Sync());
  MutexLock lock(mu_);
  syncs_done_ = syncs_wanted;
  synced_.NotifyAll();
  return absl::OkStatus();
}

// The old segment is durable before the new one exists, which is why recovery
// takes everything before the last segment as promised.
absl::Status Log::Roll() {
  PARAMO_RETURN_IF_ERROR(Sync());
  return OpenSegment();
}

// An orderly stop leaves a batch that says that all before it was synced.
absl::Status Log::WriteLast() {
  PARAMO_RETURN_IF_ERROR(Sync());
  LogBatch empty(pool_);
  empty.sync = true;
  return WriteBatch(empty);
}

// Oldest first, each removal durable before the next, so that a crash leaves
// no gap. A removal that fails is tried again after the next release.
void Log::CutFront() {
  while (true) {
    std::optional<SegmentName> name;
    {
      MutexLock lock(mu_);
      if (!cut_wanted_) return;
      name = Unneeded();
      cut_wanted_ = name.has_value();
    }
    if (!name.has_value()) return;
    absl::Status removed = disk_.Remove(options_.path, name->Format());
    if (removed.ok()) removed = disk_.SyncDirectory(options_.path);
    MutexLock lock(mu_);
    if (!removed.ok()) {
      cut_wanted_ = false;
      LogWarning("an old segment of the log stays: %s", ToString(removed));
      return;
    }
    index_.DropOldest();
  }
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
  listener_->OnLogFailed(status);
}

}  // namespace paramo
