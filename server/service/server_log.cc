#include "server/service/server_log.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "server/shard/shard.h"

namespace paramo {

ServerLog::ServerLog(std::unique_ptr<Log> log, int threads,
                     std::function<void(absl::Status)> on_failed)
    : on_failed_(std::move(on_failed)),
      threads_(threads),
      log_(std::move(log)),
      recovery_(log_->TakeRecovery()) {}

ServerLog::~ServerLog() { Stop().IgnoreError(); }

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
    if (!news.empty() && news.back().level == level) {
      news.back().lsn = shard.lsn;  // the newer word says it all
      continue;
    }
    news.push_back({shard.lsn, level});
    if (news.size() > 1) continue;
    ready_.push_back(shard.shard);
    wake_.NotifyOne();
  }
}

void ServerLog::OnLogFailed(const absl::Status& status) {
  {
    MutexLock lock(mu_);
    failure_ = status;
  }
  on_failed_(Annotate(status, "the log"));
}

absl::Status ServerLog::failure() const {
  MutexLock lock(mu_);
  return failure_;
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
    target->Post([target, news = std::move(news)] {
      target->WithReplica([&](Replica& replica, absl::Duration now) {
        for (const Progress& progress : news) {
          replica.OnLogged(progress.lsn, progress.level, now);
        }
      });
    });
  }
}

}  // namespace paramo
