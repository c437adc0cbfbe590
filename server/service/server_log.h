// The server's log between its two sides: shards append to it on their strands
// (replica_port.h), and hear on their strands how far it has got.
//
//   strand: Append --> Log (batches, a writer and a syncer thread)
//   strand: OnLogged <-- a few threads of ours <-- the log: OnLogged
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

namespace paramo {

class Shard;

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
  Log& log() { return *log_; }

  void Start(std::vector<Shard*> shards);

  // Blocks until everything appended so far is on disk.
  absl::Status Sync() { return log_->SyncAppended(); }
  // Writes, syncs and tells the shards everything, then ends the threads.
  absl::Status Stop();

  LogStats Stats() const { return log_->Stats(); }
  // Why nothing is logged any more; OK while it is.
  absl::Status failure() const;

  void OnLogged(absl::Span<const LogProgress> progress,
                Durability level) override;
  void OnLogFailed(const absl::Status& status) override;

 private:
  // What a shard has not been told yet, in the log's order.
  struct Progress {
    Lsn lsn;
    Durability level;
  };
  using News = std::vector<Progress>;

  void Tell();

  const std::function<void(absl::Status)> on_failed_;
  const int threads_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<LogRecovery> recovery_;
  std::vector<Shard*> shards_;  // fixed by Start
  std::vector<std::thread> tellers_;

  mutable Mutex mu_;
  CondVar wake_;
  std::vector<News> news_ ABSL_GUARDED_BY(mu_);     // by shard
  std::deque<ShardId> ready_ ABSL_GUARDED_BY(mu_);  // those with news
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo
