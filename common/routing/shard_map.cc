#include "common/routing/shard_map.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "common/routing/routing.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo {

absl::StatusOr<std::shared_ptr<const ShardMap>> ShardMap::FromState(
    const v1::ClusterState& state) {
  if (!IsValidShardCount(state.shard_count()) ||
      state.shards_size() != static_cast<int>(state.shard_count())) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "cluster state %d: shard_count %d with %d shards; it must be a power "
        "of two up to 4096 and list each shard",
        state.version(), state.shard_count(), state.shards_size()));
  }
  std::shared_ptr<ShardMap> map(new ShardMap);
  map->version_ = state.version();
  map->cluster_id_ = state.cluster_id();
  map->cluster_incarnation_ = state.cluster_incarnation();
  for (const v1::Server& server : state.servers()) {
    ServerLocation location;
    location.id = server.id();
    location.incarnation = server.incarnation();
    location.address = server.address();
    map->servers_.push_back(std::move(location));
  }
  auto by_id = [](const ServerLocation& a, const ServerLocation& b) {
    return a.id < b.id;
  };
  std::sort(map->servers_.begin(), map->servers_.end(), by_id);
  for (int i = 0; i < state.shards_size(); ++i) {
    const v1::Shard& shard = state.shards(i);
    ShardLocation location;
    location.epoch = shard.epoch();
    location.history = shard.history();
    location.server = shard.primary();
    location.server_index = kNoServer;
    ServerLocation wanted;
    wanted.id = shard.primary();
    auto it = std::lower_bound(map->servers_.begin(), map->servers_.end(),
                               wanted, by_id);
    const bool found = it != map->servers_.end() && it->id == wanted.id;
    if (shard.id() != static_cast<uint32_t>(i) ||
        (shard.primary() != 0 && !found)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "cluster state %d: entry %d is shard %d with primary %d, which is "
          "out of order or not a listed server",
          state.version(), i, shard.id(), shard.primary()));
    }
    if (shard.primary() != 0) {
      location.server_index = static_cast<uint32_t>(it - map->servers_.begin());
    } else {
      map->complete_ = false;
    }
    map->shards_.push_back(location);
  }
  return std::shared_ptr<const ShardMap>(std::move(map));
}

const std::string& ShardMap::address(ShardId id) const {
  static const std::string kNone;
  PARAMO_CHECK(id < shards_.size());
  const uint32_t index = shards_[id].server_index;
  return index == kNoServer ? kNone : servers_[index].address;
}

}  // namespace paramo
