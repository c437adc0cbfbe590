// A server's write-ahead log: one stream of segments, the records of all its
// shards interleaved. Step 3 of the data path; docs/formats/log.md.
//
//   shard strands            writer thread                      disk
//   Append --copy--> batch
//   Append --copy--> batch --take--> header, one writev ------> segment
//                                    OnLogged(kWritten)
//                            syncer thread, if a record asks
//                                    fdatasync ---------------> segment
//                                    OnLogged(kSynced)
//
// A batch is what came while the one before it was written, so the kernel's
// pace sets its size; a sync is of all that was written while the one before it
// lasted (group commit). Nobody who waits for a write waits for a sync.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/base/durability.h"
#include "common/base/ids.h"
#include "common/base/limits.h"
#include "common/base/mutex.h"
#include "common/mem/rope.h"
#include "server/log/batch.h"
#include "server/log/disk.h"
#include "server/log/index.h"
#include "server/log/record.h"
#include "server/log/recovery.h"

namespace paramo {

struct LogProgress {
  ShardId shard = 0;
  Lsn lsn =
      0;  // of the shard's last record; lower than before after a truncate
};

// Called on the log's threads, one call at a time; must not block.
class LogListener {
 public:
  virtual ~LogListener() = default;
  // Everything up to and including these lsns is written, or synced. Every
  // batch is reported as written; a sync reports all that was written since
  // the sync before it. Never kMemory.
  virtual void OnLogged(absl::Span<const LogProgress> progress,
                        Durability level) = 0;
  // Once. Nothing is logged any more and nothing is tried again: after a
  // failed fsync nobody knows what the disk has. The process should exit.
  virtual void OnLogFailed(const absl::Status& status) = 0;
};

struct LogOptions {
  std::string path;         // of its own; made when it does not exist
  LogDisk* disk = nullptr;  // PosixLogDisk() when null; outlives the log
  uint64_t cluster_id = 0;
  uint32_t server_id = 0;
  uint64_t incarnation = 0;  // of the server that opens the log now
  std::string boot_id;       // KernelBootId() when empty
  // Per shard, the last lsn that is needed no more (its rows are stored). A
  // first record above the next one then counts as damage. Also Release()s.
  absl::flat_hash_map<ShardId, Lsn> released;
  size_t segment_bytes = kLogSegmentBytesDefault;  // a batch may go beyond
  size_t buffer_bytes = kLogBufferBytesDefault;    // appended, not written yet
  bool keep_all = false;  // Release cuts nothing: whole logs, for proofs
};

struct LogStats {
  uint64_t position = 0;  // end of the stream as written, in bytes
  uint64_t durable = 0;   // end of the stream as synced
  uint64_t batches = 0;   // written since Open
  uint64_t records = 0;
  uint64_t syncs = 0;
  size_t segments = 0;         // on disk now
  uint64_t segment_bytes = 0;  // of all of them
  size_t buffered_bytes = 0;   // appended and not written
  // Per shard in the log, the first lsn that is needed still.
  std::vector<LogProgress> oldest_needed;
};

// Owned by the server: opened before the shards, which replay its recovery,
// then started; stopped after the last shard. Methods: any thread, unless they
// say otherwise.
class Log {
 public:
  // Reads and checks what is there (recovery.h), syncs it, and begins a new
  // segment behind the last good byte.
  //
  // Errors: FAILED_PRECONDITION  a file that is not ours, another cluster,
  //                              server or format version
  //         DATA_LOSS            the disk cannot read a segment
  //         INVALID_ARGUMENT     options out of range
  //         others               of the disk (full, no permission)
  static absl::StatusOr<std::unique_ptr<Log>> Open(LogOptions options);
  ~Log();  // stops it
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // What Open found. The caller replays it and lets it go, which gives its
  // memory back. Once.
  std::unique_ptr<LogRecovery> TakeRecovery();

  // Starts the writer. Once, after recovery. `listener` outlives Stop().
  void Start(LogListener& listener);

  // Writes and syncs everything that was appended, and says so to the
  // listener. Nothing may be appended any more. The failure, if it has failed.
  absl::Status Stop();

  // Takes a sealed record (record.h); copies the payload, once. Never blocks
  // on the disk. Records of one shard come one at a time, in lsn order, each
  // chained to the one before; a shard new to this log starts at any lsn.
  //
  // Errors: INVALID_ARGUMENT    a payload above kLogPayloadBytesMax
  //         INTERNAL            not the shard's next record: a bug
  //         the failure         once the log has failed
  // Cost:   one memcpy of header and payload.
  absl::Status Append(const RecordHeader& header,
                      absl::Span<const Piece> payload, Durability level);

  // Whether `bytes` more may be appended now. Asked before a push is taken,
  // since a record that exists is never refused: several shards that ask at
  // once may go beyond the limit together, by one push each.
  bool HasRoom(size_t bytes) const;

  // Records of `shard` from lsn `from` on, as far as they are written: at least
  // one when there is one, and no more than `bytes_max` (itself at most
  // kLogReadBytesMax) if that is more than one. Empty when `from` is the next
  // lsn. Blocks on the disk.
  //
  // Errors: OUT_OF_RANGE  cut away, or never here: send a checkpoint instead
  //         DATA_LOSS     a record on disk is damaged
  absl::StatusOr<std::vector<Record>> Read(ShardId shard, Lsn from,
                                           size_t bytes_max) const;

  // Returns when everything appended before is on disk. After Start.
  absl::Status SyncAppended();

  // Records of `shard` up to `lsn` are needed no more. The oldest segments are
  // deleted while nothing in them is needed. Only grows.
  void Release(ShardId shard, Lsn lsn);

  LogStats Stats() const;

 private:
  struct Segment {  // the one being written
    uint64_t number = 0;
    uint64_t first_position = 0;
    uint32_t header_crc = 0;
    std::shared_ptr<LogFile> file;  // shared with the index, for readers
  };
  struct Chain {
    Lsn lsn = 0;
    uint32_t crc = 0;
    bool damaged = false;  // goes on with a restart only
  };
  using LastLsns = absl::flat_hash_map<ShardId, Lsn>;

  explicit Log(LogOptions options);
  absl::Status CheckOptions() const;
  absl::Status Recover();
  absl::Status OpenSegment();

  absl::Status CheckChain(const RecordHeader& header)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t BufferedBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<SegmentName> Unneeded() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool FitsBuffer(size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The writer thread.
  void RunWriter();
  std::unique_ptr<LogBatch> NextBatch() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status WriteBatch(LogBatch& batch);
  absl::Status WriteLast();
  absl::Status Roll();
  absl::Status SyncWritten() ABSL_LOCKS_EXCLUDED(mu_);
  void Report(const LogBatch& batch) ABSL_LOCKS_EXCLUDED(mu_, tell_mu_);
  void Fail(const absl::Status& status);

  // The syncer thread.
  void RunSyncer();
  bool WaitForSyncerWork() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Sync() ABSL_LOCKS_EXCLUDED(mu_, tell_mu_);
  void CutFront();
  void EndSyncer();

  // Both.
  uint64_t BatchesAppended() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WantSynced(uint64_t batches) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool SyncIsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Tell(const LastLsns& last, Durability level)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(tell_mu_);

  const LogOptions options_;
  LogDisk& disk_;
  LogBlockPool pool_;  // has its own lock
  std::thread writer_;
  std::thread syncer_;
  LogListener* listener_ = nullptr;  // fixed by Start
  std::unique_ptr<LogRecovery> recovery_;

  // The writer's, and Open's before there is one. The syncer reads
  // segment_.file, which is changed under mu_.
  Segment segment_;
  uint64_t position_ = 0;  // where the next batch goes

  // Held while the listener is told, so that it hears of a sync behind the
  // writes that are in it. Before mu_.
  Mutex tell_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  LastLsns unsynced_ ABSL_GUARDED_BY(tell_mu_);  // written since the last sync
  LastLsns syncing_ ABSL_GUARDED_BY(tell_mu_);   // what a sync now is of

  mutable Mutex mu_;
  CondVar work_;         // for the writer: a batch, a stop, a failed sync
  CondVar syncer_work_;  // for the syncer: a sync, a release, the end
  CondVar synced_;       // for who waits for a sync
  CondVar copied_;  // for the writer: the last copy into its batch has ended
  std::unique_ptr<LogBatch> batch_ ABSL_GUARDED_BY(mu_);
  size_t writing_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<ShardId, Chain> chains_ ABSL_GUARDED_BY(mu_);
  LogIndex index_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<ShardId, Lsn> released_ ABSL_GUARDED_BY(mu_);
  bool cut_wanted_ ABSL_GUARDED_BY(mu_) = false;
  // Counted in batches, from the first after Open: how many are to be synced,
  // and how many are.
  uint64_t sync_wanted_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t batches_synced_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool syncer_ends_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status sync_failure_ ABSL_GUARDED_BY(mu_);  // the writer makes it
  absl::Status failure_ ABSL_GUARDED_BY(mu_);       // this
  LogStats stats_ ABSL_GUARDED_BY(mu_);             // the counters of it
};

}  // namespace paramo
