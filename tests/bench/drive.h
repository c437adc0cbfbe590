// Loads: requests with a fixed number in flight, or at a fixed rate.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/bench/figures.h"

namespace paramo::bench {

// Something that answers requests. Threads: one that sends, one that waits;
// with a fixed number in flight they are the same.
class Requester {
 public:
  virtual ~Requester() = default;
  // Begins request number `i`: 0, 1, 2, ...
  virtual absl::Status Send(size_t i) = 0;
  // Waits for an answer, until `deadline`; appends the numbers of all that are
  // there. Errors: one failed, and with it the run.
  virtual absl::Status Wait(absl::Time deadline,
                            std::vector<size_t>& answered) = 0;
};

struct Load {
  int in_flight = 1;  // at most
  // Open loop: requests that are due in a second, whether those before them
  // have been answered or not. 0: the next one as soon as one is answered.
  double rate = 0;
  absl::Duration time = absl::Seconds(1);
};

// What one request carries.
struct Work {
  double bytes = 0;
  double rows = 0;
};

// Sends for `load.time`, after a fifth of it that is not counted: windows open,
// memory is there. Returns when nothing is in flight any more. `cpu_seconds`
// is read at the beginning and the end of what counts. Not for sockets: a fixed
// rate, which takes a thread that sends.
absl::StatusOr<Sample> Drive(Requester& requester, const Load& load,
                             const Work& work,
                             const std::function<double()>& cpu_seconds);

}  // namespace paramo::bench
