// Shard -> server: the part of the cluster state that requests are routed by.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace paramo {

namespace v1 {
class ClusterState;
}

// Where one shard is served.
struct ShardLocation {
  Epoch epoch = 0;
  HistoryId history = 0;
  uint32_t server = 0;  // id of its primary; 0 = not placed yet
  // Index into ShardMap::servers(); kNoServer when not placed.
  uint32_t server_index = 0;
};

struct ServerLocation {
  uint32_t id = 0;
  uint64_t incarnation = 0;
  std::string address;  // host:port of its data plane
};

// One version of the shard map. Immutable, shared by all who route by it.
// Threads: any.
class ShardMap {
 public:
  static constexpr uint32_t kNoServer = ~0u;

  // Errors: INVALID_ARGUMENT  shard count, shard ids, or a primary that is not
  //                           among the servers
  static absl::StatusOr<std::shared_ptr<const ShardMap>> FromState(
      const v1::ClusterState& state);

  uint64_t version() const { return version_; }
  uint64_t cluster_id() const { return cluster_id_; }
  uint64_t cluster_incarnation() const { return cluster_incarnation_; }
  uint32_t shard_count() const { return static_cast<uint32_t>(shards_.size()); }
  // False while some shard has no primary: the cluster is still starting.
  bool complete() const { return complete_; }

  const ShardLocation& shard(ShardId id) const { return shards_[id]; }
  const std::vector<ServerLocation>& servers() const { return servers_; }

  // host:port of the shard's primary; empty when it has none.
  const std::string& address(ShardId id) const;

 private:
  ShardMap() = default;

  uint64_t version_ = 0;
  uint64_t cluster_id_ = 0;
  uint64_t cluster_incarnation_ = 0;
  bool complete_ = true;
  std::vector<ServerLocation> servers_;  // ascending by id
  std::vector<ShardLocation> shards_;    // index = shard id
};

}  // namespace paramo
