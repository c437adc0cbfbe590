// The newest changes of an embedded store, for its watches: a bounded run of
// events that readers take from their own position.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "server/coordinator/kv_store.h"

namespace paramo {

// Threads: any; has its own lock, taken after the store's.
class KvHistory {
 public:
  explicit KvHistory(size_t events_max) : events_max_(events_max) {}

  // Everything up to `revision` happened before this process.
  void StartAfter(int64_t revision);

  // `events` all happened at `revision`, which is the newest.
  void Append(std::vector<KvEvent> events, int64_t revision);

  // Drops everything up to `revision`. OUT_OF_RANGE when it is not there yet.
  absl::Status Compact(int64_t revision);

  // OUT_OF_RANGE when events at or after `revision` have been dropped.
  absl::Status CheckHas(int64_t revision) const;

  // Events below `prefix` from revision `next` on; moves `next` behind them.
  // Waits up to `timeout` for the first.
  absl::StatusOr<std::vector<KvEvent>> Read(const std::string& prefix,
                                            int64_t& next,
                                            absl::Duration timeout);

 private:
  absl::Status CheckHasLocked(int64_t revision) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t events_max_;
  mutable Mutex mu_;
  CondVar grown_;
  std::deque<KvEvent> events_ ABSL_GUARDED_BY(mu_);
  int64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;  // newest revision not held
  int64_t newest_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace paramo
