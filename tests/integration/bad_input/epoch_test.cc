// Requests that name an epoch the shard is not in, or another cluster (R2).
#include <limits>

#include "common/routing/routing.h"
#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {
namespace {

using Code = absl::StatusCode;

class EpochTest : public BadInputTest {
 protected:
  void SetUp() override {
    BadInputTest::SetUp();
    auto state = server().State();
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = *std::move(state);
    section_ = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
    section_.set_shard(ShardOf(victim_.id(), 1, state_.shard_count()));
  }
  const v1::Shard& shard() const { return state_.shards(section_.shard()); }

  v1::ClusterState state_;
  v1::Section section_;  // a good push, but for what a test changes
};

TEST_F(EpochTest, R2_AStaleOrFutureEpochIsAbortedWithTheCurrentOne) {
  for (const uint64_t epoch :
       {shard().term() - 1, shard().epoch() + 1, uint64_t{1} << 63,
        std::numeric_limits<uint64_t>::max()}) {
    section_.set_epoch(epoch);
    ExpectPushRefused(section_, Code::kAborted, v1::REASON_WRONG_EPOCH);
    v1::Request request;
    *request.add_pull() = section_;
    request.mutable_pull(0)->clear_values();
    auto reply = server().Pull(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->pull(0).reason(), uint32_t{v1::REASON_WRONG_EPOCH});
    EXPECT_EQ(reply->pull(0).epoch(), shard().epoch());
    EXPECT_EQ(reply->pull(0).history(), shard().history());
    EXPECT_GE(reply->state_version(), state_.version());
  }
  // What a client claims moves nobody.
  auto state = server().State();
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->shards(section_.shard()).SerializeAsString(),
            shard().SerializeAsString());
  ExpectUnharmed();
}

TEST_F(EpochTest, R2_ARequestForAnotherClusterIsRefused) {
  v1::Request request;
  *request.add_push() = section_;
  for (const uint64_t cluster :
       {state_.cluster_id() + 1, std::numeric_limits<uint64_t>::max()}) {
    request.set_cluster(cluster);
    ExpectCallRefused("Push", request.SerializeAsString(),
                      Code::kFailedPrecondition, v1::REASON_WRONG_CLUSTER);
  }
  ExpectUnharmed();
}

// A client that found the address of a server of another cluster, or of this
// one before it was restored to another past.
TEST_F(EpochTest, R2_AStreamOfAnotherClusterIsClosed) {
  for (const auto& [cluster, incarnation] :
       {std::pair(state_.cluster_id() + 1, state_.cluster_incarnation()),
        std::pair(state_.cluster_id(), state_.cluster_incarnation() + 1)}) {
    v1::Request hello;
    hello.mutable_hello()->set_protocol_min(1);
    hello.mutable_hello()->set_protocol_max(1);
    hello.mutable_hello()->set_cluster_id(cluster);
    hello.mutable_hello()->set_cluster_incarnation(incarnation);
    const double refused = server().Refused("wrong_cluster");
    const auto [replies, status] = server().Stream({hello});
    EXPECT_EQ(status.code(), Code::kFailedPrecondition) << status;
    EXPECT_TRUE(replies.empty());
    EXPECT_EQ(server().Refused("wrong_cluster"), refused + 1);
  }
  ExpectUnharmed();
}

TEST_F(EpochTest, R2_AStreamThatTurnsToAnotherClusterIsClosed) {
  v1::Request hello;
  hello.mutable_hello()->set_protocol_min(1);
  hello.mutable_hello()->set_protocol_max(1);
  v1::Request request;
  request.set_id(7);
  request.set_cluster(state_.cluster_id() + 1);
  *request.add_push() = section_;
  const double refused = server().Refused("wrong_cluster");
  const auto [replies, status] = server().Stream({hello, request});
  EXPECT_EQ(status.code(), Code::kFailedPrecondition) << status;
  EXPECT_EQ(replies.size(), 1u);  // the server's Hello
  EXPECT_EQ(server().Refused("wrong_cluster"), refused + 1);
  ExpectUnharmed();
}

}  // namespace
}  // namespace paramo::test
