// Which server holds which shard: a pure function, so that it is tested
// without a cluster.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/ids.h"

namespace paramo {

// Server id per shard; 0 = not placed.
using Assignment = std::vector<uint32_t>;

// Spreads all shards over `servers` (distinct ids, any order): any two
// servers' counts differ by at most one, and as few shards as possible change
// their server in `previous`. The same input gives the same answer. Without
// servers, everything is unplaced.
//
// Shapes: previous [shard count]; the answer has the same length.
Assignment PlaceShards(std::vector<uint32_t> servers,
                       const Assignment& previous);

}  // namespace paramo
