// What a worker tells about itself: losses and step times of the last second,
// counters since it joined.
#pragma once

#include <cstdint>
#include <deque>

#include "absl/time/time.h"

namespace paramo {

// Pure: time is an argument. Threads: one.
class StepMeter {
 public:
  struct Summary {
    double loss = 0;  // mean over the window
    double step_ms_p50 = 0;
    double step_ms_p99 = 0;
  };

  void Add(absl::Duration now, double loss, absl::Duration step);

  // Over the steps of the last second, at most the newest 1,024; when there
  // are none, over the newest one.
  Summary Summarize(absl::Duration now);

 private:
  struct Step {
    absl::Duration at;
    double loss;
    double ms;
  };
  std::deque<Step> steps_;  // oldest first
};

}  // namespace paramo
