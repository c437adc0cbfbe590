// Worker clocks that are not steps.
#pragma once

#include "common/base/ids.h"

namespace paramo {

// First round without a worker that ended by itself: all it gave counts.
inline constexpr WorkerClock kNoRound = ~WorkerClock{0};

// First round with or without a worker whose coming or going every server has
// yet to hear of: no shard of its job closes a round meanwhile.
inline constexpr WorkerClock kUndecidedRound = ~WorkerClock{0} - 1;

}  // namespace paramo
