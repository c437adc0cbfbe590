// What replicas have to tell the coordinator, until the next heartbeat takes
// it.
#pragma once

#include <functional>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "server/replication/config.h"

namespace paramo {

// Threads: any. A report that is not heard is made again by its replica.
class ReportBoard {
 public:
  // `on_news` is called when the first report is there; must not block.
  explicit ReportBoard(std::function<void()> on_news)
      : on_news_(std::move(on_news)) {}

  void Add(const ReplicaReport& report) {
    bool first;
    {
      MutexLock lock(mu_);
      first = reports_.empty();
      reports_[{report.shard, report.kind, report.peer}] = report;
    }
    if (first) on_news_();
  }

  std::vector<ReplicaReport> Take() {
    MutexLock lock(mu_);
    std::vector<ReplicaReport> taken;
    for (auto& [key, report] : std::exchange(reports_, {})) {
      taken.push_back(report);
    }
    return taken;
  }

 private:
  using Key = std::tuple<ShardId, ReplicaReport::Kind, ReplicaId>;

  const std::function<void()> on_news_;
  Mutex mu_;
  std::map<Key, ReplicaReport> reports_ ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo
