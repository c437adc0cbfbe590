// How far the rounds of each job have got on this server; heartbeats tell the
// coordinator, which decides by it from which round on a dead worker is out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "absl/base/thread_annotations.h"
#include "common/base/ids.h"
#include "common/base/mutex.h"

namespace paramo {

// Threads: any. Outlives the shards that write to it.
class RoundBoard {
 public:
  // A shard has closed all rounds of `job` below `open_round`.
  void Note(uint32_t job, WorkerClock open_round) {
    MutexLock lock(mu_);
    WorkerClock& highest = open_rounds_[job];
    highest = std::max(highest, open_round);
  }

  // Per job, the highest over all shards.
  std::map<uint32_t, WorkerClock> Snapshot() const {
    MutexLock lock(mu_);
    return open_rounds_;
  }

 private:
  mutable Mutex mu_;
  std::map<uint32_t, WorkerClock> open_rounds_ ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo
