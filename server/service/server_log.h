// The server's log between its two sides: shards append to it on their
// strands, and hear on their strands how far it has got.
//
//   strand: Write --> Log (batches, one writer thread)
//   strand: OnLogged <-- a few threads of ours <-- writer: OnLogged
//
// The hand-over keeps the writer writing: what a commit sets off (rules,
// replies) is most of a push's work.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "server/log/log.h"
#include "server/replication/replication.h"

namespace paramo {

class Shard;

// The log as one shard sees it; used on the shard's strand.
class ShardLog final : public RecordLog {
 public:
  ShardLog(Log& log, ShardId shard) : log_(log), shard_(shard) {}

  bool HasRoom(size_t bytes) const override { return log_.HasRoom(bytes); }
  void Write(const Record& record, Durability durability) override;
  void Release(Lsn lsn) override { log_.Release(shard_, lsn); }

  // The log has written, or synced, up to these lsns. Returns the last lsn up
  // to which every record is as durable as it must be.
  Lsn Advance(Lsn written, Lsn synced);

 private:
  Log& log_;
  const ShardId shard_;
  std::deque<Lsn> to_sync_;  // records that count only when synced
  Lsn written_ = 0;
};

// Owned by the server: made with the log, started when the shards have
// replayed it, stopped after the last append. Threads: any.
class ServerLog final : public LogListener {
 public:
  // `on_failed` is called once, from any thread: nothing is logged any more.
  ServerLog(std::unique_ptr<Log> log, int threads,
            std::function<void(absl::Status)> on_failed);
  ~ServerLog() override;

  // What the log held when it was opened; until TakeRecovery.
  const LogRecovery& recovery() const { return *recovery_; }
  std::unique_ptr<LogRecovery> TakeRecovery() { return std::move(recovery_); }
  // Before Start; `shard_count` of them.
  void MakeShardLogs(size_t shard_count);
  ShardLog& OfShard(ShardId shard) { return *shard_logs_[shard]; }

  void Start(std::vector<Shard*> shards);

  // Blocks until everything appended so far is on disk.
  absl::Status Sync() { return log_->SyncAppended(); }
  // Writes, syncs and tells the shards everything, then ends the threads.
  absl::Status Stop();

  LogStats Stats() const { return log_->Stats(); }

  void OnLogged(absl::Span<const LogProgress> progress,
                Durability level) override;
  void OnLogFailed(const absl::Status& status) override;

 private:
  // What a shard has not been told yet.
  struct News {
    Lsn written = 0;
    Lsn synced = 0;
    bool queued = false;
  };

  void Tell();

  const std::function<void(absl::Status)> on_failed_;
  const int threads_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<LogRecovery> recovery_;
  std::vector<std::unique_ptr<ShardLog>> shard_logs_;
  std::vector<Shard*> shards_;  // fixed by Start
  std::vector<std::thread> tellers_;

  Mutex mu_;
  CondVar wake_;
  std::vector<News> news_ ABSL_GUARDED_BY(mu_);     // by shard
  std::deque<ShardId> ready_ ABSL_GUARDED_BY(mu_);  // those with news
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace paramo
