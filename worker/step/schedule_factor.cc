#include "worker/step/schedule_factor.h"

#include <algorithm>
#include <cmath>

namespace paramo {

double ScheduleFactor(const Schedule& schedule, uint64_t clock) {
  if (clock < schedule.warmup) {
    return static_cast<double>(clock + 1) /
           static_cast<double>(schedule.warmup);
  }
  const uint64_t t = clock - schedule.warmup;
  switch (schedule.kind) {
    case Schedule::Kind::kConstant:
      break;
    case Schedule::Kind::kStep:
      return std::pow(schedule.decay, static_cast<double>(t / schedule.period));
    case Schedule::Kind::kCosine: {
      const double share = std::min(
          1.0, static_cast<double>(t) / static_cast<double>(schedule.period));
      return schedule.floor +
             (1 - schedule.floor) * (1 + std::cos(M_PI * share)) / 2;
    }
  }
  return 1;
}

}  // namespace paramo
