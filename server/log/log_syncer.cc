// The syncer thread: has the disk keep what is written, while the writer goes
// on, and deletes segments that are needed no more.
#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "server/log/log.h"

namespace paramo {

uint64_t Log::BatchesAppended() const {
  return stats_.batches + (writing_bytes_ > 0 ? 1 : 0) +
         (batch_ != nullptr ? 1 : 0);
}

void Log::WantSynced(uint64_t batches) {
  sync_wanted_ = std::max(sync_wanted_, batches);
  if (SyncIsDue()) syncer_work_.NotifyOne();
}

bool Log::SyncIsDue() const {
  return sync_wanted_ > batches_synced_ && stats_.batches > batches_synced_;
}

void Log::RunSyncer() {
  absl::Status status;
  while (status.ok() && WaitForSyncerWork()) {
    status = Sync();
    if (status.ok()) CutFront();
  }
  if (status.ok()) return;
  MutexLock lock(mu_);
  sync_failure_ = status;
  work_.NotifyOne();
  synced_.NotifyAll();
}

bool Log::WaitForSyncerWork() {
  MutexLock lock(mu_);
  while (!SyncIsDue() && !cut_wanted_ && !syncer_ends_) syncer_work_.Wait(mu_);
  return !syncer_ends_;
}

void Log::EndSyncer() {
  {
    MutexLock lock(mu_);
    syncer_ends_ = true;
    syncer_work_.NotifyOne();
  }
  if (syncer_.joinable()) syncer_.join();
}

// The segment does not change meanwhile: the writer rolls when all is synced.
absl::Status Log::Sync() {
  std::shared_ptr<LogFile> file;
  uint64_t position = 0;
  uint64_t batches = 0;
  {
    MutexLock telling(tell_mu_);
    MutexLock lock(mu_);
    if (!SyncIsDue()) return absl::OkStatus();
    file = segment_.file;
    position = stats_.position;
    batches = stats_.batches;
    syncing_ = std::exchange(unsynced_, {});
  }
  PARAMO_RETURN_IF_ERROR(file->Sync());
  MutexLock telling(tell_mu_);
  {
    MutexLock lock(mu_);
    stats_.durable = position;
    stats_.syncs += 1;
    batches_synced_ = batches;
    synced_.NotifyAll();
  }
  Tell(std::exchange(syncing_, {}), Durability::kSynced);
  return absl::OkStatus();
}

// Oldest first, each removal durable before the next, so that a crash leaves
// no gap. A removal that fails is tried again after the next release.
void Log::CutFront() {
  while (true) {
    std::optional<SegmentName> name;
    {
      MutexLock lock(mu_);
      if (!cut_wanted_ || SyncIsDue()) return;
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

}  // namespace paramo
