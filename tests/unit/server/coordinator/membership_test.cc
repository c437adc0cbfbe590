#include "server/coordinator/membership.h"

#include <map>

#include "common/base/limits.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

class MembershipTest : public testing::Test {
 protected:
  static constexpr uint64_t kCluster = 0xC1;

  std::unique_ptr<Membership> Make(uint32_t expected, uint32_t shards = 8) {
    MembershipOptions options;
    options.cluster_id = kCluster;
    options.cluster_incarnation = 0x17;
    options.shard_count = shards;
    options.servers_expected = expected;
    return std::make_unique<Membership>(options, changes_);
  }
  static v1::RegisterServerRequest New(uint64_t incarnation) {
    v1::RegisterServerRequest request;
    request.set_incarnation(incarnation);
    request.set_address("127.0.0.1:7701");
    return request;
  }
  static v1::RegisterServerRequest Again(uint32_t id, uint64_t incarnation) {
    v1::RegisterServerRequest request = New(incarnation);
    request.set_cluster_id(kCluster);
    request.set_server_id(id);
    return request;
  }
  static v1::ClusterState State(const Membership& membership) {
    v1::ClusterState state;
    membership.FillState(&state);
    return state;
  }
  static std::map<uint32_t, int> Held(const Membership& membership) {
    std::map<uint32_t, int> held;
    v1::ClusterState state = State(membership);
    for (const v1::Shard& shard : state.shards()) ++held[shard.primary()];
    return held;
  }

  Changes changes_;
  v1::RegisterServerReply reply_;
};

TEST_F(MembershipTest, PlacesOnceTheExpectedServersAreUp) {
  auto membership = Make(/*expected=*/3);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  EXPECT_EQ(reply_.server_id(), 1u);
  EXPECT_EQ(reply_.cluster_id(), kCluster);
  ASSERT_TRUE(
      membership->Register(New(22), &reply_, absl::ZeroDuration()).ok());
  EXPECT_EQ(reply_.server_id(), 2u);
  EXPECT_EQ(Held(*membership)[0], 8);
  ASSERT_TRUE(
      membership->Register(New(33), &reply_, absl::ZeroDuration()).ok());
  EXPECT_EQ(Held(*membership),
            (std::map<uint32_t, int>{{1, 3}, {2, 3}, {3, 2}}));
  v1::ClusterState state = State(*membership);
  for (const v1::Shard& shard : state.shards()) {
    EXPECT_EQ(shard.epoch(), 1u);
    EXPECT_NE(shard.history(), 0u);
    ASSERT_EQ(shard.in_sync_size(), 1);
    EXPECT_EQ(shard.in_sync(0).server(), shard.primary());
    EXPECT_EQ(shard.in_sync(0).incarnation(), shard.primary() * 11u);
  }
}

TEST_F(MembershipTest, AServerThatIsDownDoesNotCountForPlacement) {
  auto membership = Make(/*expected=*/2);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  ASSERT_TRUE(membership->MarkDown(1, 11, absl::ZeroDuration()));
  ASSERT_TRUE(
      membership->Register(New(22), &reply_, absl::ZeroDuration()).ok());
  EXPECT_EQ(Held(*membership)[0], 8);
  ASSERT_TRUE(
      membership->Register(Again(1, 12), &reply_, absl::ZeroDuration()).ok());
  EXPECT_EQ(Held(*membership), (std::map<uint32_t, int>{{1, 4}, {2, 4}}));
}

TEST_F(MembershipTest, ALaterServerGetsNothingAndADeadOneKeepsItsShards) {
  auto membership = Make(/*expected=*/1);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  ASSERT_TRUE(
      membership->Register(New(22), &reply_, absl::ZeroDuration()).ok());
  ASSERT_TRUE(membership->MarkDown(1, 11, absl::ZeroDuration()));
  ASSERT_TRUE(
      membership->Register(New(33), &reply_, absl::ZeroDuration()).ok());
  EXPECT_EQ(Held(*membership), (std::map<uint32_t, int>{{1, 8}}));
}

TEST_F(MembershipTest, ARestartKeepsShardsAndRaisesTheirEpochs) {
  auto membership = Make(/*expected=*/2);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  ASSERT_TRUE(
      membership->Register(New(22), &reply_, absl::ZeroDuration()).ok());
  ASSERT_TRUE(membership->MarkDown(1, 11, absl::ZeroDuration()));
  uint64_t history = State(*membership).shards(0).history();
  ASSERT_TRUE(
      membership->Register(Again(1, 12), &reply_, absl::ZeroDuration()).ok());
  EXPECT_EQ(reply_.server_id(), 1u);
  v1::ClusterState state = State(*membership);
  for (const v1::Shard& shard : state.shards()) {
    bool restarted = shard.primary() == 1;
    EXPECT_EQ(shard.epoch(), restarted ? 2u : 1u);
    EXPECT_EQ(shard.in_sync(0).incarnation(), restarted ? 12u : 22u);
  }
  EXPECT_EQ(state.shards(0).history(), history);
}

TEST_F(MembershipTest, TheSameProcessRegisteringAgainChangesNoEpoch) {
  auto membership = Make(/*expected=*/1);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  ASSERT_TRUE(membership->MarkDown(1, 11, absl::ZeroDuration()));
  ASSERT_TRUE(
      membership->Register(Again(1, 11), &reply_, absl::ZeroDuration()).ok());
  EXPECT_EQ(State(*membership).shards(0).epoch(), 1u);
  EXPECT_EQ(State(*membership).servers(0).status(), v1::SERVER_STATUS_UP);
}

TEST_F(MembershipTest, ARepeatedFirstRegistrationIsTheSameServer) {
  auto membership = Make(/*expected=*/2);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  ASSERT_TRUE(membership->Register(New(11), &reply_, absl::ZeroDuration())
                  .ok());  // lost reply
  EXPECT_EQ(reply_.server_id(), 1u);
  EXPECT_EQ(State(*membership).servers_size(), 1);
}

TEST_F(MembershipTest, RefusesAnIdThatIsAliveElsewhere) {
  auto membership = Make(/*expected=*/1);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  EXPECT_CODE(kAlreadyExists, membership->Register(Again(1, 12), &reply_,
                                                   absl::ZeroDuration()));
}

TEST_F(MembershipTest, RefusesForeignAndUnknownDataDirectories) {
  auto membership = Make(/*expected=*/1);
  v1::RegisterServerRequest foreign = Again(1, 11);
  foreign.set_cluster_id(0xBAD);
  EXPECT_CODE(kFailedPrecondition,
              membership->Register(foreign, &reply_, absl::ZeroDuration()));
  EXPECT_CODE(kFailedPrecondition, membership->Register(Again(7, 11), &reply_,
                                                        absl::ZeroDuration()));
  EXPECT_TRUE(changes_.empty());
}

TEST_F(MembershipTest, RefusesBadFields) {
  auto membership = Make(/*expected=*/1);
  EXPECT_CODE(kInvalidArgument,
              membership->Register(New(0), &reply_, absl::ZeroDuration()));
  v1::RegisterServerRequest request = New(11);
  request.set_address("nowhere");
  EXPECT_CODE(kInvalidArgument,
              membership->Register(request, &reply_, absl::ZeroDuration()));
  request = New(11);
  request.set_metrics_address("x");
  EXPECT_CODE(kInvalidArgument,
              membership->Register(request, &reply_, absl::ZeroDuration()));
  request = New(11);
  request.set_build(std::string(257, 'b'));
  EXPECT_CODE(kInvalidArgument,
              membership->Register(request, &reply_, absl::ZeroDuration()));
  EXPECT_TRUE(changes_.empty());
}

TEST_F(MembershipTest, RefusesMoreServersThanTheLimit) {
  auto membership = Make(/*expected=*/1);
  for (uint64_t i = 1; i <= kServersMax; ++i) {
    ASSERT_TRUE(
        membership->Register(New(i), &reply_, absl::ZeroDuration()).ok());
  }
  EXPECT_CODE(kResourceExhausted,
              membership->Register(New(kServersMax + 1), &reply_,
                                   absl::ZeroDuration()));
  EXPECT_TRUE(
      membership->Register(New(kServersMax), &reply_, absl::ZeroDuration())
          .ok());
}

TEST_F(MembershipTest, MarkDownIsForTheNamedIncarnationOnly) {
  auto membership = Make(/*expected=*/1);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  EXPECT_FALSE(membership->MarkDown(1, 10, absl::ZeroDuration()));
  EXPECT_FALSE(membership->MarkDown(2, 11, absl::ZeroDuration()));
  EXPECT_TRUE(membership->MarkDown(1, 11, absl::ZeroDuration()));
  EXPECT_FALSE(membership->MarkDown(1, 11, absl::ZeroDuration()));
}

// A crash may leave the server's new incarnation stored, and its shards not.
TEST_F(MembershipTest, ReconcileFinishesAHalfStoredRestart) {
  auto membership = Make(/*expected=*/1, /*shards=*/2);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  std::string shard0 = *changes_.writes().at("shards/0");
  std::string shard1 = *changes_.writes().at("shards/1");
  ASSERT_TRUE(membership->MarkDown(1, 11, absl::ZeroDuration()));
  ASSERT_TRUE(
      membership->Register(Again(1, 12), &reply_, absl::ZeroDuration()).ok());

  auto reloaded = Make(/*expected=*/1, /*shards=*/2);
  ASSERT_TRUE(reloaded->LoadServer(*changes_.writes().at("servers/1")).ok());
  ASSERT_TRUE(reloaded->LoadShard(shard0).ok());
  ASSERT_TRUE(reloaded->LoadShard(*changes_.writes().at("shards/1")).ok());
  reloaded->Reconcile(absl::ZeroDuration());
  v1::ClusterState state = State(*reloaded);
  for (const v1::Shard& shard : state.shards()) {
    EXPECT_EQ(shard.epoch(), 2u);
    EXPECT_EQ(shard.in_sync(0).incarnation(), 12u);
  }
}

// A crash may leave some shards placed, which may hold rows by now.
TEST_F(MembershipTest, ReconcileFinishesAHalfStoredPlacement) {
  auto membership = Make(/*expected=*/2, /*shards=*/4);
  ASSERT_TRUE(
      membership->Register(New(11), &reply_, absl::ZeroDuration()).ok());
  ASSERT_TRUE(
      membership->Register(New(22), &reply_, absl::ZeroDuration()).ok());
  std::string stored = *changes_.writes().at("shards/0");

  auto reloaded = Make(/*expected=*/2, /*shards=*/4);
  for (const char* key : {"servers/1", "servers/2"}) {
    ASSERT_TRUE(reloaded->LoadServer(*changes_.writes().at(key)).ok());
  }
  ASSERT_TRUE(reloaded->LoadShard(stored).ok());
  reloaded->Reconcile(absl::ZeroDuration());
  EXPECT_EQ(Held(*reloaded), (std::map<uint32_t, int>{{1, 2}, {2, 2}}));
  EXPECT_EQ(State(*reloaded).shards(0).SerializeAsString(), stored);
}

TEST_F(MembershipTest, TheLastServerIsNotDrained) {
  auto membership = Make(/*expected=*/2);
  EXPECT_CODE(kNotFound, membership->SetDrained(1, true));
  for (uint64_t incarnation : {11, 22}) {
    ASSERT_TRUE(
        membership->Register(New(incarnation), &reply_, absl::ZeroDuration())
            .ok());
  }
  EXPECT_TRUE(membership->SetDrained(1, true).ok());
  EXPECT_TRUE(membership->SetDrained(1, true).ok());
  EXPECT_CODE(kFailedPrecondition, membership->SetDrained(2, true));
  EXPECT_TRUE(membership->SetDrained(1, false).ok());
  EXPECT_TRUE(membership->SetDrained(2, true).ok());
}

// Over restarts of the coordinator and of the server.
TEST_F(MembershipTest, ADrainedServerStaysDrained) {
  auto membership = Make(/*expected=*/1, /*shards=*/2);
  for (uint64_t incarnation : {11, 22}) {
    ASSERT_TRUE(
        membership->Register(New(incarnation), &reply_, absl::ZeroDuration())
            .ok());
  }
  ASSERT_TRUE(membership->SetDrained(2, true).ok());
  ASSERT_TRUE(membership->MarkDown(2, 22, absl::ZeroDuration()));
  ASSERT_TRUE(
      membership->Register(Again(2, 23), &reply_, absl::ZeroDuration()).ok());
  EXPECT_TRUE(State(*membership).servers(1).drained());

  auto reloaded = Make(/*expected=*/1, /*shards=*/2);
  for (const char* key : {"servers/1", "servers/2"}) {
    ASSERT_TRUE(reloaded->LoadServer(*changes_.writes().at(key)).ok());
  }
  for (const char* key : {"shards/0", "shards/1"}) {
    ASSERT_TRUE(reloaded->LoadShard(*changes_.writes().at(key)).ok());
  }
  reloaded->Reconcile(absl::ZeroDuration());
  EXPECT_TRUE(State(*reloaded).servers(1).drained());
  EXPECT_CODE(kFailedPrecondition, reloaded->Transfer(0, 2));
  EXPECT_CODE(kFailedPrecondition, reloaded->SetDrained(1, true));
}

TEST_F(MembershipTest, AnotherHistoryIsStoredWhole) {
  auto membership = Make(/*expected=*/1, /*shards=*/1);
  for (uint64_t incarnation : {11, 22}) {
    ASSERT_TRUE(
        membership->Register(New(incarnation), &reply_, absl::ZeroDuration())
            .ok());
  }
  ASSERT_TRUE(membership->MarkDown(1, 11, absl::ZeroDuration()));
  v1::Shard shard;
  ASSERT_TRUE(membership->PromoteUnsafely(0, 2, 1025, &shard).ok());
  EXPECT_EQ(shard.base().server(), 2u);
  EXPECT_EQ(shard.base().incarnation(), 22u);
  EXPECT_EQ(shard.ended_sessions(), 1025u);

  auto reloaded = Make(/*expected=*/1, /*shards=*/1);
  for (const char* key : {"servers/1", "servers/2"}) {
    ASSERT_TRUE(reloaded->LoadServer(*changes_.writes().at(key)).ok());
  }
  ASSERT_TRUE(reloaded->LoadShard(*changes_.writes().at("shards/0")).ok());
  EXPECT_EQ(State(*reloaded).shards(0).SerializeAsString(),
            shard.SerializeAsString());
}

TEST_F(MembershipTest, DamagedEntriesAreDataLoss) {
  auto membership = Make(/*expected=*/1);
  EXPECT_CODE(kDataLoss, membership->LoadServer("\xff\xff"));
  EXPECT_CODE(kDataLoss, membership->LoadServer(""));
  v1::Shard shard;
  shard.set_id(8);
  EXPECT_CODE(kDataLoss, membership->LoadShard(shard.SerializeAsString()));
}

}  // namespace
}  // namespace paramo
