// The cluster state as clients (shard map) and servers (cluster view) take it
// from a coordinator. Oracle: what is accepted can be routed by and served.
#include <set>

#include "common/routing/routing.h"
#include "common/routing/shard_map.h"
#include "paramo/v1/cluster.pb.h"
#include "server/shard/cluster_view.h"
#include "server/sync/policy.h"
#include "server/table/table_shard.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

void CheckMap(const v1::ClusterState& state) {
  auto map = ShardMap::FromState(state);
  if (!map.ok()) {
    PARAMO_CHECK(absl::IsInvalidArgument(map.status()));
    return;
  }
  PARAMO_CHECK(IsValidShardCount((*map)->shard_count()));
  for (ShardId id = 0; id < (*map)->shard_count(); ++id) {
    const ShardLocation& shard = (*map)->shard(id);
    const bool placed = shard.server_index != ShardMap::kNoServer;
    PARAMO_CHECK(placed == (shard.server != 0));
    if (placed) {
      PARAMO_CHECK((*map)->servers()[shard.server_index].id == shard.server);
    } else {
      PARAMO_CHECK(!(*map)->complete() && (*map)->address(id).empty());
    }
  }
}

void CheckView(const std::shared_ptr<const v1::ClusterState>& state) {
  auto view = MakeClusterView(state);
  if (!view.ok()) {
    PARAMO_CHECK(absl::IsInvalidArgument(view.status()));
    return;
  }
  PARAMO_CHECK(
      IsValidShardCount(static_cast<uint32_t>((*view)->shards.size())));
  for (const auto& [id, config] : (*view)->tables) {
    // Wide rows are only slow.
    if (config->dim > 1024) continue;
    TableShard table(*config, /*shard=*/0);
    std::vector<float> row(config->dim);
    const Key key = 7;
    PARAMO_CHECK(table.config().rule != nullptr);
    table.Gather({&key, 1}, reinterpret_cast<uint8_t*>(row.data()));
  }
  for (const JobView& job : (*view)->jobs) {
    PARAMO_CHECK(MakeSyncPolicy(job.sync) != nullptr);
  }
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  auto state = std::make_shared<v1::ClusterState>();
  if (!state->ParseFromArray(data, static_cast<int>(size))) return 0;
  CheckMap(*state);
  CheckView(state);
  return 0;
}
