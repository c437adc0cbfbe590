// The learning-rate schedules once more, as reference_rule.h has the rules: for
// the reference run, and for local steps, which follow their tables' schedule.
#pragma once

#include <cstdint>

#include "paramo/spec.h"

namespace paramo {

// The factor on the learning rate at `clock` (docs/rules.md).
double ScheduleFactor(const Schedule& schedule, uint64_t clock);

}  // namespace paramo
