#include "common/clock/clock.h"

#include <ctime>

namespace paramo {

absl::Duration SteadyClock::Now() const {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace paramo
