// Which replica should move, and which shard change its primary, so that all
// servers hold and lead equally many: pure functions, so that they are tested
// without a cluster.
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

struct ReplicaMove {
  ShardId shard = 0;
  uint32_t from = 0;  // a backup of it
  uint32_t to = 0;    // has no replica of it
};

// The next of a series of moves of backups after which the servers' numbers of
// replicas differ by at most one, as far as backups can be moved for that;
// nothing when there is no more to do. The series always ends.
//
// Shapes: `takers` may get replicas, also those that have none yet.
// Cost:   O(takers x replicas of all shards).
std::optional<ReplicaMove> NextReplicaMove(
    const std::vector<uint32_t>& takers, const std::vector<ShardLead>& shards);

}  // namespace paramo
