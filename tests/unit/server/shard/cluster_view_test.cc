// What a server takes from a coordinator, which may be newer or broken.
#include "server/shard/cluster_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "paramo/v1/cluster.pb.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<v1::ClusterState> State(uint32_t shard_count, int shards) {
  auto state = std::make_shared<v1::ClusterState>();
  state->set_version(1);
  state->set_shard_count(shard_count);
  v1::Server* server = state->add_servers();
  server->set_id(1);
  server->set_address("a:1");
  for (int id = 0; id < shards; ++id) {
    v1::Shard* shard = state->add_shards();
    shard->set_id(static_cast<uint32_t>(id));
    shard->set_primary(1);
  }
  return state;
}

TEST(ClusterViewTest, TakesShardsTablesAndJobs) {
  auto state = State(2, 2);
  v1::Table* table = state->add_tables();
  table->set_id(3);
  table->mutable_spec()->set_dim(4);
  table->mutable_spec()->mutable_rule()->set_name("sgd");
  (*table->mutable_spec()->mutable_rule()->mutable_params())["lr"] = 0.1;
  state->add_jobs()->mutable_sync()->set_kind(v1::Sync::BSP);
  auto view = MakeClusterView(state);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ((*view)->shards[1].address, "a:1");
  EXPECT_EQ((*view)->FindTable(3)->dim, 4u);
  EXPECT_EQ((*view)->jobs[0].sync.kind, SyncKind::kBsp);
}

// Keys are routed by the number of shards.
TEST(ClusterViewTest, RefusesAListThatIsNotItsShards) {
  for (auto [count, listed] : {std::pair{0u, 0}, {3u, 3}, {4u, 2}, {2u, 4}}) {
    auto view = MakeClusterView(State(count, listed));
    EXPECT_EQ(view.status().code(), absl::StatusCode::kInvalidArgument)
        << count << " " << listed;
  }
  auto swapped = State(2, 2);
  swapped->mutable_shards(0)->set_id(1);
  EXPECT_EQ(MakeClusterView(swapped).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A shard has no policy for it: pushes of the job would have nowhere to go.
TEST(ClusterViewTest, RefusesAKindOfSyncThatItDoesNotKnow) {
  auto state = State(1, 1);
  v1::JobState* job = state->add_jobs();
  job->set_name("next-year");
  job->mutable_sync()->set_kind(static_cast<v1::Sync::Kind>(4));
  auto view = MakeClusterView(state);
  EXPECT_EQ(view.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(view.status().message()), HasSubstr("next-year"));
}

// Every round would be complete: the shard would close them for ever.
TEST(ClusterViewTest, RefusesARoundThatNobodyIsNeededFor) {
  auto state = State(1, 1);
  v1::Sync* sync = state->add_jobs()->mutable_sync();
  sync->set_kind(v1::Sync::ROUND);
  EXPECT_EQ(MakeClusterView(state).status().code(),
            absl::StatusCode::kInvalidArgument);
  sync->set_quorum(1);
  EXPECT_TRUE(MakeClusterView(state).ok());
}

}  // namespace
}  // namespace paramo
