#include "common/routing/shard_map.h"

#include <gtest/gtest.h>

#include "paramo/v1/cluster.pb.h"

namespace paramo {
namespace {

v1::ClusterState MakeState() {
  v1::ClusterState state;
  state.set_cluster_id(11);
  state.set_cluster_incarnation(12);
  state.set_version(5);
  state.set_shard_count(4);
  for (uint32_t id : {7u, 3u}) {
    v1::Server* server = state.add_servers();
    server->set_id(id);
    server->set_incarnation(100 + id);
    server->set_address("127.0.0.1:" + std::to_string(9000 + id));
  }
  for (uint32_t id = 0; id < 4; ++id) {
    v1::Shard* shard = state.add_shards();
    shard->set_id(id);
    shard->set_epoch(id + 1);
    shard->set_history(50 + id);
    shard->set_primary(id % 2 == 0 ? 3 : 7);
  }
  return state;
}

TEST(ShardMap, TellsWhereEachShardIs) {
  auto map = ShardMap::FromState(MakeState());
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ((*map)->version(), 5u);
  EXPECT_EQ((*map)->cluster_id(), 11u);
  EXPECT_EQ((*map)->cluster_incarnation(), 12u);
  EXPECT_EQ((*map)->shard_count(), 4u);
  EXPECT_TRUE((*map)->complete());
  EXPECT_EQ((*map)->address(0), "127.0.0.1:9003");
  EXPECT_EQ((*map)->address(1), "127.0.0.1:9007");
  EXPECT_EQ((*map)->shard(3).epoch, 4u);
  EXPECT_EQ((*map)->shard(3).history, 53u);
  EXPECT_EQ((*map)->servers()[(*map)->shard(3).server_index].incarnation, 107u);
}

TEST(ShardMap, IsIncompleteWhileAShardHasNoPrimary) {
  v1::ClusterState state = MakeState();
  state.mutable_shards(2)->set_primary(0);
  auto map = ShardMap::FromState(state);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_FALSE((*map)->complete());
  EXPECT_EQ((*map)->address(2), "");
  EXPECT_EQ((*map)->shard(2).server_index, ShardMap::kNoServer);
}

TEST(ShardMap, RefusesAStateThatContradictsItself) {
  v1::ClusterState count = MakeState();
  count.set_shard_count(3);
  EXPECT_EQ(ShardMap::FromState(count).status().code(),
            absl::StatusCode::kInvalidArgument);
  v1::ClusterState missing = MakeState();
  missing.mutable_shards()->RemoveLast();
  EXPECT_FALSE(ShardMap::FromState(missing).ok());
  v1::ClusterState order = MakeState();
  order.mutable_shards(1)->set_id(2);
  EXPECT_FALSE(ShardMap::FromState(order).ok());
  v1::ClusterState primary = MakeState();
  primary.mutable_shards(1)->set_primary(99);
  EXPECT_FALSE(ShardMap::FromState(primary).ok());
}

}  // namespace
}  // namespace paramo
