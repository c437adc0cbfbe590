// Time during which this process was awake. All silence is measured on it, so
// that the coordinator's own stalls (stopped, swapped out, starved) never look
// like somebody else's silence: whatever a stall took beyond kAwakeStepMax
// does not count.
#pragma once

#include <algorithm>

#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/clock/clock.h"

namespace paramo {

// The detector reads it every kDetectorPeriod; five of those in one step are a
// stall.
inline constexpr absl::Duration kDetectorPeriod = absl::Milliseconds(20);
inline constexpr absl::Duration kAwakeStepMax = absl::Milliseconds(100);

// Threads: any. Somebody must read it every kDetectorPeriod, or it falls
// behind the clock.
class AwakeTime {
 public:
  explicit AwakeTime(const Clock& clock) : clock_(clock), last_(clock.Now()) {}

  absl::Duration Now() {
    MutexLock lock(mu_);
    absl::Duration now = clock_.Now();
    awake_ +=
        std::min(std::max(now - last_, absl::ZeroDuration()), kAwakeStepMax);
    last_ = now;
    return awake_;
  }

 private:
  const Clock& clock_;
  Mutex mu_;
  absl::Duration last_ ABSL_GUARDED_BY(mu_);
  absl::Duration awake_ ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo
