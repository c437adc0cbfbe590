// The learning rate over the course of a job: a factor that is a pure function
// of the push's clock, the same bits on every machine.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "common/base/ids.h"

namespace paramo {

struct Schedule {
  // The numbers of paramo.v1.Schedule.Kind.
  enum class Kind : uint32_t {
    kConstant = 0,
    kStep = 1,    // decay ^ floor(t / period)
    kCosine = 2,  // floor + (1 - floor) (1 + cos(pi t / period)) / 2
  };

  Kind kind = Kind::kConstant;
  WorkerClock warmup = 0;  // clocks of linear growth before t = 0
  WorkerClock period = 0;  // clocks; kStep and kCosine
  double decay = 0;        // kStep
  double floor = 0;        // kCosine: from t = period on

  // INVALID_ARGUMENT: unknown kind; warmup or period beyond 2^53 (where f64
  // counts exactly), no period where one is needed; decay or floor NaN or
  // outside [0, 1].
  absl::Status Validate() const;

  // What the learning rate is multiplied by: (clock + 1) / warmup while
  // clock < warmup, then the kind's formula with t = clock - warmup. Within
  // [0, 1]. The schedule must be valid.
  // Source: cosine: Loshchilov and Hutter 2017, eq. 5, without restarts.
  double Factor(WorkerClock clock) const;
};

}  // namespace paramo
