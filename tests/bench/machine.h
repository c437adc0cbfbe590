// What the machine does while it is measured: CPU time of processes, and of
// everybody else.
#pragma once

#include <sys/types.h>

#include <vector>

#include "absl/time/time.h"

namespace paramo::bench {

// User and system time of these processes so far, all threads, to the
// nanosecond. One that has ended counts as 0.
double CpuSeconds(const std::vector<pid_t>& pids);

// The share of the machine's CPU time, all cores together, that was used since
// it was made. Threads: one.
class Usage {
 public:
  // By others than `ours`.
  explicit Usage(std::vector<pid_t> ours);
  double Share() const;

 private:
  double OthersSeconds() const;

  const std::vector<pid_t> ours_;
  const double before_;
  const absl::Time start_;
};

// Above this share a run counts as disturbed: 0.1 of a core on two cores.
inline constexpr double kQuietShare = 0.05;

// Waits until nobody uses the machine, `at_most` so long; returns how long.
absl::Duration WaitForQuiet(absl::Duration at_most);

}  // namespace paramo::bench
