#include "server/service/server_log.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "server/shard/shard.h"

namespace paramo {

void ShardLog::Write(const Record& record, Durability durability) {
  if (durability == Durability::kSynced) to_sync_.push_back(record.header.lsn);
  absl::Status taken =
      log_.Append(record.header, record.payload.pieces(), durability);
  // A log that has failed says so to its listener, which ends the process.
  if (!taken.ok()) LogDebug("record not logged: %s", ToString(taken));
}

Lsn ShardLog::Advance(Lsn written, Lsn synced) {
  written_ = std::max({written_, written, synced});
  while (!to_sync_.empty() && to_sync_.front() <= synced) to_sync_.pop_front();
  return to_sync_.empty() ? written_ : std::min(written_, to_sync_.front() - 1);
}

ServerLog::ServerLog(std::unique_ptr<Log> log, int threads,
                     std::function<void(absl::Status)> on_failed)
    : on_failed_(std::move(on_failed)),
      threads_(threads),
      log_(std::move(log)),
      recovery_(log_->TakeRecovery()) {}

ServerLog::~ServerLog() { Stop().IgnoreError(); }

void ServerLog::MakeShardLogs(size_t shard_count) {
  for (ShardId shard = 0; shard < shard_count; ++shard) {
    shard_logs_.push_back(std::make_unique<ShardLog>(*log_, shard));
  }
}

void ServerLog::Start(std::vector<Shard*> shards) {
  shards_ = std::move(shards);
  {
    MutexLock lock(mu_);
    news_.resize(shards_.size());
  }
  for (int i = 0; i < threads_; ++i) {
    tellers_.emplace_back([this] { Tell(); });
  }
  log_->Start(*this);
}

absl::Status ServerLog::Stop() {
  absl::Status stopped = log_->Stop();
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& teller : tellers_) teller.join();
  tellers_.clear();
  return stopped;
}

void ServerLog::OnLogged(absl::Span<const LogProgress> progress,
                         Durability level) {
  MutexLock lock(mu_);
  for (const LogProgress& shard : progress) {
    News& news = news_[shard.shard];
    Lsn& lsn = level == Durability::kSynced ? news.synced : news.written;
    lsn = std::max(lsn, shard.lsn);
    if (news.queued) continue;
    news.queued = true;
    ready_.push_back(shard.shard);
    wake_.NotifyOne();
  }
}

void ServerLog::OnLogFailed(const absl::Status& status) {
  on_failed_(Annotate(status, "the log"));
}

void ServerLog::Tell() {
  pthread_setname_np(pthread_self(), "commit");
  for (;;) {
    ShardId shard;
    News news;
    {
      MutexLock lock(mu_);
      while (ready_.empty() && !stopping_) wake_.Wait(mu_);
      if (ready_.empty()) return;
      shard = ready_.front();
      ready_.pop_front();
      news = std::exchange(news_[shard], News());
    }
    Shard* target = shards_[shard];
    ShardLog* log = shard_logs_[shard].get();
    target->Post([target, log, news] {
      target->OnLogged(log->Advance(news.written, news.synced));
    });
  }
}

}  // namespace paramo
