// Which shard should change its primary so that all servers lead equally many:
// a pure function, so that it is tested without a cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/ids.h"

namespace paramo {

// Who leads a shard, and who else might.
struct ShardLead {
  uint32_t primary = 0;  // server id
  std::vector<uint32_t> backups;
};

struct PrimaryMove {
  ShardId shard = 0;
  uint32_t to = 0;  // one of its backups
};

// The next of a series of moves after which the servers' numbers of shards
// differ by at most one, as far as there are backups for that; nothing when
// there is no more to do. The series always ends.
//
// Shapes: `shards` by id; their servers are all in `servers`.
// Cost:   O(servers x replicas of all shards).
std::optional<PrimaryMove> NextPrimaryMove(
    const std::vector<uint32_t>& servers, const std::vector<ShardLead>& shards);

}  // namespace paramo
