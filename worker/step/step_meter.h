// What a worker tells about itself: losses and step times of the last second,
// counters since it joined.
#pragma once

#include <cstdint>
#include <deque>

#include "absl/time/time.h"

namespace paramo {

// Where the time of one step went. Computing hides what overlaps with it, so
// the parts need not add up to the step.
struct StepTimes {
  absl::Duration input;  // waiting for the batch
  absl::Duration pull;   // waiting for parameters, but for `wait`
  absl::Duration compute;
  absl::Duration push;  // waiting for the answer to the last push
  absl::Duration wait;  // waiting for other workers
};

// Pure: time is an argument. Threads: one.
class StepMeter {
 public:
  struct Summary {
    double loss = 0;  // mean over the window, as are the parts of the step
    double input_ms = 0;
    double pull_ms = 0;
    double compute_ms = 0;
    double push_ms = 0;
    double wait_ms = 0;
    double step_ms_p50 = 0;
    double step_ms_p99 = 0;
  };

  void Add(absl::Duration now, double loss, absl::Duration step,
           const StepTimes& times);

  // Over the steps of the last second, at most the newest 1,024; when there
  // are none, over the newest one.
  Summary Summarize(absl::Duration now);

 private:
  struct Step {
    absl::Duration at;
    double loss;
    double ms;
    StepTimes times;
  };
  std::deque<Step> steps_;  // oldest first
};

}  // namespace paramo
