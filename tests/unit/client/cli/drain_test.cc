#include "client/cli/drain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DrainTest : public ::testing::Test {
 protected:
  // Servers 1 to 3 are up, 2 is to be drained.
  DrainTest() {
    for (uint32_t id : {1, 2, 3}) {
      v1::Server& server = *state_.add_servers();
      server.set_id(id);
      server.set_status(v1::SERVER_STATUS_UP);
      server.set_drained(id == 2);
    }
  }
  v1::Server& server(uint32_t id) {
    return *state_.mutable_servers(static_cast<int>(id) - 1);
  }
  v1::Shard& AddShard(std::vector<uint32_t> in_sync,
                      std::vector<uint32_t> learners = {}) {
    v1::Shard& shard = *state_.add_shards();
    shard.set_id(static_cast<uint32_t>(state_.shards_size()) - 1);
    shard.set_primary(in_sync[0]);
    for (uint32_t id : in_sync) shard.add_in_sync()->set_server(id);
    for (uint32_t id : learners) shard.add_learners()->set_server(id);
    return shard;
  }

  v1::ClusterState state_;
};

TEST_F(DrainTest, DoneIsHoldingNothing) {
  AddShard({1, 3});
  EXPECT_TRUE(LookAtDrain(state_, 2).done());
  AddShard({3, 2});
  const Drain drain = LookAtDrain(state_, 2);
  EXPECT_FALSE(drain.done());
  EXPECT_EQ(drain.holds, 1u);
  EXPECT_EQ(drain.leads, 0u);
  EXPECT_THAT(drain.obstacle, IsEmpty());
}

TEST_F(DrainTest, ItIsNotDoneBeforeItIsMarked) {
  AddShard({1, 3});
  server(2).set_drained(false);
  EXPECT_FALSE(LookAtDrain(state_, 2).done());
  EXPECT_FALSE(LookAtDrain(state_, 4).known);
}

TEST_F(DrainTest, BackupsThatNobodyCanTakeAreStranded) {
  AddShard({1, 2});
  server(3).set_status(v1::SERVER_STATUS_DOWN);
  const Drain drain = LookAtDrain(state_, 2);
  EXPECT_TRUE(drain.done());
  EXPECT_EQ(drain.stranded, 1u);
  AddShard({1, 2}, {3});  // somebody takes this one
  EXPECT_FALSE(LookAtDrain(state_, 2).done());
  server(3).set_status(v1::SERVER_STATUS_UP);
  EXPECT_EQ(LookAtDrain(state_, 2).stranded, 0u);
}

TEST_F(DrainTest, SaysWhyAShardStays) {
  AddShard({2});
  EXPECT_THAT(LookAtDrain(state_, 2).obstacle, HasSubstr("no other replica"));
  state_.mutable_shards(0)->add_learners()->set_server(3);
  EXPECT_THAT(LookAtDrain(state_, 2).obstacle,
              HasSubstr("server 3 is still copying shard 0"));
  state_.mutable_shards(0)->clear_learners();
  server(1).set_status(v1::SERVER_STATUS_DOWN);
  server(3).set_drained(true);
  EXPECT_THAT(LookAtDrain(state_, 2).obstacle, HasSubstr("start one"));
}

}  // namespace
}  // namespace paramo::cli
