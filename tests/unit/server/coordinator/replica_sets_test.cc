#include "server/coordinator/replica_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Kind = ReplicaNews::Kind;

class ReplicaSetsTest : public ::testing::Test {
 protected:
  static ReplicaSetsOptions Options(uint32_t shards, uint32_t replicas,
                                    uint32_t servers) {
    ReplicaSetsOptions options;
    options.shard_count = shards;
    options.replicas = replicas;
    options.servers_expected = servers;
    return options;
  }
  void Up(ReplicaSets& sets, uint32_t server) {
    sets.ServerUp(Life(server), now_);
  }
  static ServerLife Life(uint32_t server) { return {server, server * 10}; }

  static ReplicaNews News(const ReplicaSets& sets, Kind kind, uint32_t from,
                          uint32_t peer = 0) {
    ReplicaNews news;
    news.kind = kind;
    news.from = Life(from);
    news.epoch = sets.sets()[0].epoch;
    news.peer = Life(peer);
    return news;
  }
  static ReplicaNews Answer(const ReplicaSets& sets, uint32_t from,
                            Epoch last_epoch, Lsn last_lsn) {
    ReplicaNews news = News(sets, Kind::kFenced, from);
    news.last_epoch = last_epoch;
    news.last_lsn = last_lsn;
    return news;
  }
  // One shard on servers 1, 2, 3, led by 1.
  ReplicaSets Three() {
    ReplicaSets sets(Options(1, 3, 3));
    for (uint32_t server : {1, 2, 3}) Up(sets, server);
    sets.TakeChanged();
    EXPECT_EQ(sets.sets()[0].primary, 1u);
    return sets;
  }
  void Fence(ReplicaSets& sets, uint32_t dead) {
    sets.ServerDown(Life(dead), now_);
    sets.Tick(now_);
    ASSERT_TRUE(sets.sets()[0].fencing);
  }

  absl::Duration now_ = absl::Seconds(1000);
};

TEST_F(ReplicaSetsTest, PlacesOnceAllExpectedAreUp) {
  ReplicaSets sets(Options(8, 2, 4));
  for (uint32_t server : {1, 2, 3}) Up(sets, server);
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
  Up(sets, 4);
  EXPECT_EQ(sets.TakeChanged().size(), 8u);
  std::map<uint32_t, int> led, held;
  for (const ReplicaSet& set : sets.sets()) {
    EXPECT_EQ(set.epoch, 1u);
    EXPECT_EQ(set.term, 1u);
    ASSERT_EQ(set.in_sync.size(), 2u);
    EXPECT_EQ(set.in_sync[0].server, set.primary);
    EXPECT_NE(set.in_sync[1].server, set.primary);
    ++led[set.primary];
    for (const ServerLife& life : set.in_sync) ++held[life.server];
  }
  for (uint32_t server : {1, 2, 3, 4}) {
    EXPECT_EQ(led[server], 2);
    EXPECT_EQ(held[server], 4);
  }
}

TEST_F(ReplicaSetsTest, Rule3_7_TheFurthestAnswerLeads) {
  ReplicaSets sets = Three();
  Fence(sets, 1);
  EXPECT_EQ(sets.sets()[0].epoch, 2u);
  EXPECT_EQ(sets.sets()[0].in_sync.size(), 3u);  // the suspect is asked too
  sets.OnNews(Answer(sets, 2, 1, 8), now_);
  EXPECT_TRUE(sets.sets()[0].fencing);  // 3 is up: it may answer
  sets.OnNews(Answer(sets, 3, 1, 9), now_);
  const ReplicaSet& set = sets.sets()[0];
  EXPECT_FALSE(set.fencing);
  EXPECT_EQ(set.epoch, 3u);
  EXPECT_EQ(set.term, 3u);
  EXPECT_EQ(set.primary, 3u);
  EXPECT_THAT(set.in_sync, UnorderedElementsAre(Life(2), Life(3)));
}

TEST_F(ReplicaSetsTest, Rule3_7_ANewerEpochBeatsALongerLog) {
  ReplicaSets sets = Three();
  Fence(sets, 1);
  sets.OnNews(Answer(sets, 2, 2, 5), now_);
  sets.OnNews(Answer(sets, 3, 1, 9), now_);
  EXPECT_EQ(sets.sets()[0].primary, 2u);
}

TEST_F(ReplicaSetsTest, Rule3_7_OneAnswerSufficesAfterTheWait) {
  ReplicaSets sets = Three();
  Fence(sets, 1);
  sets.OnNews(Answer(sets, 2, 1, 8), now_);
  sets.Tick(now_ + absl::Milliseconds(99));
  EXPECT_TRUE(sets.sets()[0].fencing);
  sets.Tick(now_ + absl::Milliseconds(100));
  EXPECT_FALSE(sets.sets()[0].fencing);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(2)));
}

TEST_F(ReplicaSetsTest, Rule3_7_WithoutAnAnswerItStaysFenced) {
  ReplicaSets sets = Three();
  Fence(sets, 1);
  for (int i = 0; i < 100; ++i) sets.Tick(now_ += absl::Milliseconds(100));
  EXPECT_TRUE(sets.sets()[0].fencing);
  EXPECT_EQ(sets.sets()[0].epoch, 2u);
}

TEST_F(ReplicaSetsTest, Rule3_7_AnswersToAnotherFenceDoNotCount) {
  ReplicaSets sets = Three();
  Fence(sets, 1);
  ReplicaNews old = Answer(sets, 2, 1, 8);
  ReplicaSets next(Options(1, 3, 3));
  next.Load(0, sets.sets()[0]);
  for (uint32_t server : {2, 3}) Up(next, server);
  next.Resume();  // a new leader: epoch + 1
  EXPECT_EQ(next.sets()[0].epoch, 3u);
  next.OnNews(old, now_);
  next.Tick(now_ + absl::Seconds(1));
  EXPECT_TRUE(next.sets()[0].fencing);
}

TEST_F(ReplicaSetsTest, Rule3_4_AnotherIncarnationDoesNotAnswer) {
  ReplicaSets sets = Three();
  Fence(sets, 1);
  ReplicaNews news = Answer(sets, 2, 1, 99);
  ++news.from.incarnation;
  sets.OnNews(news, now_);
  sets.Tick(now_ + absl::Seconds(1));
  EXPECT_TRUE(sets.sets()[0].fencing);
}

TEST_F(ReplicaSetsTest, Rule3_1_JoinIsGuarded) {
  ReplicaSets sets = Three();
  sets.OnNews(News(sets, Kind::kDrop, 1, 3), now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(2)));
  EXPECT_EQ(sets.sets()[0].term, 1u);  // nobody took over
  sets.Tick(now_);
  ASSERT_THAT(sets.sets()[0].learners, ElementsAre(Life(3)));
  ReplicaNews old = News(sets, Kind::kJoin, 1, 3);
  --old.epoch;
  sets.OnNews(old, now_);
  sets.OnNews(News(sets, Kind::kJoin, 2, 3), now_);  // not the primary
  ReplicaNews stranger = News(sets, Kind::kJoin, 1, 3);
  ++stranger.peer.incarnation;
  sets.OnNews(stranger, now_);
  EXPECT_EQ(sets.sets()[0].in_sync.size(), 2u);
  sets.OnNews(News(sets, Kind::kJoin, 1, 3), now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(2), Life(3)));
  EXPECT_THAT(sets.sets()[0].learners, IsEmpty());
}

TEST_F(ReplicaSetsTest, Rule3_4_TheLastMemberStays) {
  ReplicaSets sets = Three();
  sets.OnNews(News(sets, Kind::kDrop, 1, 2), now_);
  sets.OnNews(News(sets, Kind::kDrop, 1, 3), now_);
  sets.OnNews(News(sets, Kind::kDrop, 1, 1), now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1)));
  // Without proof its successor is no member: offline until it returns.
  sets.ServerUp({1, 999}, now_);
  sets.Tick(now_);
  EXPECT_TRUE(sets.Offline(0));
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1)));
  sets.ServerUp(Life(1), now_);
  EXPECT_FALSE(sets.Offline(0));
}

TEST_F(ReplicaSetsTest, Rule3_9_MoreThanHalfDeadMeansWeAreCutOff) {
  ReplicaSets sets = Three();
  sets.ServerDown(Life(1), now_);
  sets.ServerDown(Life(2), now_);
  EXPECT_TRUE(sets.safe_mode());
  sets.Tick(now_);
  sets.OnNews(News(sets, Kind::kDrop, 1, 3), now_);
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
  Up(sets, 2);
  EXPECT_FALSE(sets.safe_mode());
  sets.Tick(now_);
  EXPECT_TRUE(sets.sets()[0].fencing);
}

TEST_F(ReplicaSetsTest, Rule3_9_FlappingServersWait) {
  ReplicaSets sets(Options(1, 2, 2));
  Up(sets, 1);
  Up(sets, 2);
  sets.OnNews(News(sets, Kind::kDrop, 1, 2), now_);
  sets.ServerDown(Life(2), now_);
  Up(sets, 2);
  sets.Tick(now_);
  EXPECT_THAT(sets.sets()[0].learners, IsEmpty());
  sets.Tick(now_ + absl::Milliseconds(250));
  EXPECT_THAT(sets.sets()[0].learners, ElementsAre(Life(2)));
}

// ---- Servers that beat and do not answer ------------------------------------

TEST_F(ReplicaSetsTest, Rule3_6_APrimaryOutOfReachIsReplaced) {
  ReplicaSets sets = Three();
  sets.SetReach({{Life(1), Reach::kLate}}, now_);
  sets.Tick(now_);
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
  sets.SetReach({{Life(1), Reach::kNone}}, now_);
  EXPECT_TRUE(sets.OutOfReach(1));
  sets.Tick(now_);
  ASSERT_TRUE(sets.sets()[0].fencing);
  // It still reaches us, and has most; it does not lead again, nor stay.
  sets.OnNews(Answer(sets, 1, 1, 9), now_);
  sets.Tick(now_ += absl::Seconds(1));
  EXPECT_TRUE(sets.sets()[0].fencing);
  sets.OnNews(Answer(sets, 2, 1, 8), now_);
  EXPECT_TRUE(sets.sets()[0].fencing);  // 3 may answer, for 100 ms from now
  sets.Tick(now_ + absl::Milliseconds(99));
  EXPECT_TRUE(sets.sets()[0].fencing);
  sets.OnNews(Answer(sets, 3, 1, 8), now_ + absl::Milliseconds(99));
  EXPECT_FALSE(sets.sets()[0].fencing);
  EXPECT_NE(sets.sets()[0].primary, 1u);
  EXPECT_THAT(sets.sets()[0].in_sync, UnorderedElementsAre(Life(2), Life(3)));
}

TEST_F(ReplicaSetsTest, ASuspectLeadsWhereNobodyElseIsLeft) {
  ReplicaSets sets(Options(1, 2, 2));
  for (uint32_t server : {1, 2, 3, 4}) Up(sets, server);
  ASSERT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(2)));
  sets.SetReach({{Life(1), Reach::kNone}}, now_);
  sets.Tick(now_);
  ASSERT_TRUE(sets.sets()[0].fencing);
  sets.OnNews(Answer(sets, 1, 1, 9), now_);
  sets.ServerDown(Life(2), now_);
  sets.SetReach({{Life(1), Reach::kNone}}, now_);
  ASSERT_TRUE(sets.OutOfReach(1));
  sets.Tick(now_ + absl::Milliseconds(1));
  EXPECT_FALSE(sets.sets()[0].fencing);
  EXPECT_EQ(sets.sets()[0].primary, 1u);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1)));
}

// The last member stays, whoever can reach it.
TEST_F(ReplicaSetsTest, Rule3_4_AnUnreachableLastMemberStays) {
  ReplicaSets sets = Three();
  sets.OnNews(News(sets, Kind::kDrop, 1, 2), now_);
  sets.OnNews(News(sets, Kind::kDrop, 1, 3), now_);
  sets.TakeChanged();
  sets.SetReach({{Life(1), Reach::kNone}}, now_);
  sets.Tick(now_);
  EXPECT_TRUE(sets.Offline(0));
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
  EXPECT_EQ(sets.sets()[0].primary, 1u);
}

TEST_F(ReplicaSetsTest, WhoDoesNotAnswerDropsNobodyWhoDoes) {
  ReplicaSets sets = Three();
  sets.SetReach({{Life(1), Reach::kLate}}, now_);
  sets.OnNews(News(sets, Kind::kDrop, 1, 2), now_);
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
  sets.SetReach({{Life(1), Reach::kLate}, {Life(2), Reach::kLate}}, now_);
  sets.OnNews(News(sets, Kind::kDrop, 1, 2), now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(3)));
  sets.SetReach({}, now_);
  sets.OnNews(News(sets, Kind::kDrop, 1, 3), now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1)));
}

// Its primary says whether it is in sync.
TEST_F(ReplicaSetsTest, ABackupOutOfReachIsReplacedWhenItIsDropped) {
  ReplicaSets sets(Options(1, 2, 2));
  for (uint32_t server : {1, 2, 3}) Up(sets, server);
  sets.TakeChanged();
  sets.SetReach({{Life(2), Reach::kNone}}, now_);
  sets.Tick(now_);
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
  sets.OnNews(News(sets, Kind::kDrop, 1, 2), now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1)));
  sets.Tick(now_);
  EXPECT_THAT(sets.sets()[0].learners, ElementsAre(Life(3)));
}

TEST_F(ReplicaSetsTest, Rule3_9_MoreThanHalfOutOfReachMeansWeAreCutOff) {
  ReplicaSets sets = Three();
  sets.SetReach({{Life(1), Reach::kNone}, {Life(2), Reach::kNone}}, now_);
  sets.Tick(now_);
  EXPECT_FALSE(sets.OutOfReach(1));
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
  EXPECT_TRUE(sets.Transfer(0, 2).ok());  // as if they answered
  sets.TakeChanged();
  // The dead count too.
  sets.ServerDown(Life(3), now_);
  sets.SetReach({{Life(2), Reach::kNone}}, now_);
  sets.Tick(now_);
  EXPECT_FALSE(sets.OutOfReach(2));
  EXPECT_FALSE(sets.sets()[0].fencing);
  Up(sets, 3);
  sets.SetReach({{Life(2), Reach::kNone}}, now_);
  sets.Tick(now_);
  EXPECT_TRUE(sets.sets()[0].fencing);
}

TEST_F(ReplicaSetsTest, TheOnlyServerIsNeverOutOfReach) {
  ReplicaSets sets(Options(1, 1, 1));
  Up(sets, 1);
  sets.TakeChanged();
  sets.SetReach({{Life(1), Reach::kNone}}, now_);
  sets.Tick(now_);
  EXPECT_FALSE(sets.OutOfReach(1));
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
}

TEST_F(ReplicaSetsTest, Rule3_9_WhoIsOutOfReachGetsNothingAndReturnsLate) {
  ReplicaSets sets(Options(1, 2, 2));
  Up(sets, 1);
  Up(sets, 2);
  sets.SetReach({{Life(2), Reach::kNone}}, now_);
  EXPECT_TRUE(absl::IsFailedPrecondition(sets.Transfer(0, 2)));
  sets.OnNews(News(sets, Kind::kDrop, 1, 2), now_);
  sets.Tick(now_ + absl::Seconds(1));
  EXPECT_THAT(sets.sets()[0].learners, IsEmpty());
  now_ += absl::Seconds(2);
  sets.SetReach({}, now_);
  sets.SetReach({{Life(2), Reach::kNone}}, now_);  // again
  sets.SetReach({}, now_);
  sets.Tick(now_ + absl::Milliseconds(399));  // 100 ms x 2^2
  EXPECT_THAT(sets.sets()[0].learners, IsEmpty());
  sets.Tick(now_ + absl::Milliseconds(400));
  EXPECT_THAT(sets.sets()[0].learners, ElementsAre(Life(2)));
}

TEST_F(ReplicaSetsTest, MissingReplicasAreReplacedElsewhere) {
  ReplicaSets sets(Options(1, 2, 2));
  Up(sets, 1);
  Up(sets, 2);
  Up(sets, 3);
  sets.ServerDown(Life(2), now_);
  sets.Tick(now_);
  // 2 stays in sync until the primary says that it is silent.
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(2)));
  EXPECT_THAT(sets.sets()[0].learners, ElementsAre(Life(3)));
}

TEST_F(ReplicaSetsTest, AStoppedReplicaIsNotUsedAgain) {
  ReplicaSets sets(Options(1, 2, 2));
  Up(sets, 1);
  Up(sets, 2);
  sets.OnNews(News(sets, Kind::kStopped, 2), now_);
  sets.OnNews(News(sets, Kind::kDrop, 1, 2), now_);
  sets.Tick(now_);
  EXPECT_THAT(sets.sets()[0].learners, IsEmpty());
}

TEST_F(ReplicaSetsTest, AStoppedPrimaryIsReplaced) {
  ReplicaSets sets = Three();
  sets.OnNews(News(sets, Kind::kStopped, 1), now_);
  EXPECT_TRUE(sets.sets()[0].fencing);
  sets.OnNews(Answer(sets, 2, 1, 8), now_);
  sets.OnNews(Answer(sets, 3, 1, 8), now_);
  EXPECT_FALSE(sets.sets()[0].fencing);  // 1 is not waited for
  EXPECT_NE(sets.sets()[0].primary, 1u);
}

TEST_F(ReplicaSetsTest, ARestartedPrimaryGetsANewTerm) {
  ReplicaSets sets = Three();
  sets.OnNews(News(sets, Kind::kTakeAgain, 1), now_);
  EXPECT_TRUE(sets.sets()[0].fencing);
}

TEST_F(ReplicaSetsTest, ATransferIsATermOfTheSameReplicas) {
  ReplicaSets sets = Three();
  ASSERT_TRUE(sets.Transfer(0, 3).ok());
  const ReplicaSet& set = sets.sets()[0];
  EXPECT_EQ(set.primary, 3u);
  EXPECT_EQ(set.epoch, 2u);
  EXPECT_EQ(set.term, 2u);
  EXPECT_FALSE(set.fencing);
  EXPECT_THAT(set.in_sync, UnorderedElementsAre(Life(1), Life(2), Life(3)));
  EXPECT_THAT(sets.TakeChanged(), ElementsAre(0u));
  EXPECT_TRUE(sets.Transfer(0, 3).ok());  // it is there already
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
}

TEST_F(ReplicaSetsTest, ATransferGoesToALiveMemberOnly) {
  ReplicaSets sets = Three();
  EXPECT_TRUE(absl::IsNotFound(sets.Transfer(1, 2)));
  sets.OnNews(News(sets, Kind::kDrop, 1, 3), now_);
  sets.Tick(now_);
  ASSERT_THAT(sets.sets()[0].learners, ElementsAre(Life(3)));
  EXPECT_TRUE(absl::IsFailedPrecondition(sets.Transfer(0, 3)));
  EXPECT_TRUE(absl::IsFailedPrecondition(sets.Transfer(0, 9)));
  sets.ServerDown(Life(2), now_);
  EXPECT_TRUE(absl::IsFailedPrecondition(sets.Transfer(0, 2)));
  Up(sets, 2);
  sets.OnNews(News(sets, Kind::kStopped, 2), now_);
  EXPECT_TRUE(absl::IsFailedPrecondition(sets.Transfer(0, 2)));
  sets.OnNews(News(sets, Kind::kTakeAgain, 1), now_);
  ASSERT_TRUE(sets.sets()[0].fencing);
  EXPECT_TRUE(absl::IsFailedPrecondition(sets.Transfer(0, 1)));
  EXPECT_EQ(sets.sets()[0].primary, 0u);
}

TEST_F(ReplicaSetsTest, ASuccessorThatDiesIsReplacedThroughAFence) {
  ReplicaSets sets = Three();
  ASSERT_TRUE(sets.Transfer(0, 3).ok());
  Fence(sets, 3);
  sets.OnNews(Answer(sets, 1, 1, 8), now_);
  sets.OnNews(Answer(sets, 2, 1, 8), now_);
  EXPECT_FALSE(sets.sets()[0].fencing);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(2)));
}

// What it leads goes at once; what it holds goes when another has it.
TEST_F(ReplicaSetsTest, ADrainedServerHandsOverThenLeaves) {
  ReplicaSets sets(Options(1, 2, 2));
  Up(sets, 1);
  Up(sets, 2);
  ASSERT_EQ(sets.sets()[0].primary, 1u);
  Up(sets, 3);
  sets.SetDrained(1, true);
  sets.Tick(now_);
  EXPECT_EQ(sets.sets()[0].primary, 2u);
  EXPECT_EQ(sets.sets()[0].term, 2u);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(2)));
  EXPECT_THAT(sets.sets()[0].learners, ElementsAre(Life(3)));
  sets.OnNews(News(sets, Kind::kJoin, 2, 3), now_);
  sets.Tick(now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(2), Life(3)));
  EXPECT_EQ(sets.sets()[0].term, 2u);  // a shrink disturbs nothing
  EXPECT_TRUE(absl::IsFailedPrecondition(sets.Transfer(0, 1)));
  sets.TakeChanged();
  sets.Tick(now_);
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
}

TEST_F(ReplicaSetsTest, ADrainedServerKeepsWhatNobodyElseCanHave) {
  ReplicaSets sets(Options(1, 2, 2));
  Up(sets, 1);
  Up(sets, 2);
  sets.SetDrained(1, true);
  for (int i = 0; i < 3; ++i) sets.Tick(now_);
  EXPECT_EQ(sets.sets()[0].primary, 2u);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(2)));
  EXPECT_EQ(sets.sets()[0].epoch, 2u);
}

TEST_F(ReplicaSetsTest, ADrainedOnlyReplicaWaitsForALearner) {
  ReplicaSets sets(Options(1, 1, 1));
  Up(sets, 1);
  Up(sets, 2);
  sets.SetDrained(1, true);
  sets.Tick(now_);
  EXPECT_EQ(sets.sets()[0].primary, 1u);
  ASSERT_THAT(sets.sets()[0].learners, ElementsAre(Life(2)));
  sets.OnNews(News(sets, Kind::kJoin, 1, 2), now_);
  sets.Tick(now_);
  EXPECT_EQ(sets.sets()[0].primary, 2u);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(2)));
}

TEST_F(ReplicaSetsTest, ADrainedServerGetsNothingNew) {
  ReplicaSets sets(Options(8, 1, 3));
  Up(sets, 1);
  Up(sets, 2);
  sets.SetDrained(2, true);
  Up(sets, 3);
  for (const ReplicaSet& set : sets.sets()) EXPECT_NE(set.primary, 2u);

  ReplicaSets three = Three();
  three.OnNews(News(three, Kind::kDrop, 1, 3), now_);
  three.SetDrained(3, true);
  three.Tick(now_);
  EXPECT_THAT(three.sets()[0].learners, IsEmpty());
  three.SetDrained(3, false);
  three.Tick(now_);
  EXPECT_THAT(three.sets()[0].learners, ElementsAre(Life(3)));
}

TEST_F(ReplicaSetsTest, OfEqualAnswersADrainedServerDoesNotLead) {
  ReplicaSets sets = Three();
  sets.SetDrained(3, true);
  Fence(sets, 1);
  sets.OnNews(Answer(sets, 3, 1, 8), now_);
  sets.OnNews(Answer(sets, 2, 1, 8), now_);
  EXPECT_EQ(sets.sets()[0].primary, 2u);
}

TEST_F(ReplicaSetsTest, InSafeModeNothingIsDrained) {
  ReplicaSets sets = Three();
  sets.ServerDown(Life(2), now_);
  sets.ServerDown(Life(3), now_);
  sets.SetDrained(1, true);
  sets.Tick(now_);
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
}

TEST_F(ReplicaSetsTest, AServerAloneGoesOnWithWhatItHasUnlessThatIsDamaged) {
  ReplicaSets sets(Options(2, 1, 1));
  Up(sets, 1);
  sets.ServerDown(Life(1), now_);
  const ServerLife next = {1, 11};
  sets.ServerUp(next, now_, /*damaged=*/{1});
  sets.Tick(now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(next));
  EXPECT_FALSE(sets.Offline(0));
  EXPECT_THAT(sets.sets()[1].in_sync, ElementsAre(Life(1)));
  EXPECT_TRUE(sets.Offline(1));
}

class BalancingTest : public ReplicaSetsTest {
 protected:
  BalancingTest() : sets_(Balancing()) {
    Up(sets_, 1);
    Up(sets_, 2);
    sets_.ServerDown(Life(1), now_);
    sets_.Tick(now_);
    for (ShardId shard : {0, 1, 2, 3}) {
      ReplicaNews answer = Answer(sets_, 2, 1, 8);
      answer.shard = shard;
      answer.epoch = sets_.sets()[shard].epoch;
      sets_.OnNews(answer, now_);
    }
    EXPECT_EQ(Led(2), 4);
    now_ += absl::Seconds(1);
    Up(sets_, 1);
    sets_.Tick(now_);
  }
  static ReplicaSetsOptions Balancing() {
    ReplicaSetsOptions options = Options(4, 2, 2);
    options.balance_after = absl::Seconds(10);
    return options;
  }
  void JoinAll() {
    for (ShardId shard : {0, 1, 2, 3}) {
      ReplicaNews join = News(sets_, Kind::kJoin, 2, 1);
      join.shard = shard;
      join.epoch = sets_.sets()[shard].epoch;
      sets_.OnNews(join, now_);
    }
  }
  int Led(uint32_t server) const {
    int led = 0;
    for (const ReplicaSet& set : sets_.sets()) led += set.primary == server;
    return led;
  }
  void Pass(absl::Duration time) { sets_.Tick(now_ += time); }

  ReplicaSets sets_;
};

TEST_F(BalancingTest, PrimariesMoveBackOneByOneOnceAllIsWell) {
  Pass(absl::Seconds(20));  // replicas are missing all the time
  EXPECT_EQ(Led(2), 4);
  JoinAll();
  Pass(absl::ZeroDuration());
  Pass(absl::Milliseconds(9999));
  EXPECT_EQ(Led(2), 4);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(Led(2), 3);
  Pass(absl::Milliseconds(499));
  EXPECT_EQ(Led(2), 3);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(Led(2), 2);
  Pass(absl::Seconds(100));
  EXPECT_EQ(Led(2), 2);
  EXPECT_EQ(Led(1), 2);
}

TEST_F(BalancingTest, AFailureStartsTheWaitAnew) {
  JoinAll();
  Pass(absl::ZeroDuration());
  Pass(absl::Seconds(9));
  sets_.ServerDown(Life(1), now_);
  sets_.Tick(now_);
  Up(sets_, 1);  // in time to be in sync still
  Pass(absl::ZeroDuration());
  Pass(absl::Milliseconds(9999));
  EXPECT_EQ(Led(2), 4);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(Led(2), 3);
}

// Three servers, two replicas; the third comes when all is placed.
class MovingReplicasTest : public ReplicaSetsTest {
 protected:
  MovingReplicasTest() : sets_(Balancing()) {
    Up(sets_, 1);
    Up(sets_, 2);
    Up(sets_, 3);
    Pass(absl::ZeroDuration());
    EXPECT_EQ(Learning(), std::nullopt);
    Pass(absl::Seconds(10));
  }
  static ReplicaSetsOptions Balancing() {
    ReplicaSetsOptions options = Options(4, 2, 2);
    options.balance_after = absl::Seconds(10);
    return options;
  }
  void Pass(absl::Duration time) { sets_.Tick(now_ += time); }
  std::optional<ShardId> Learning() const {
    for (ShardId shard = 0; shard < sets_.sets().size(); ++shard) {
      if (!sets_.sets()[shard].learners.empty()) return shard;
    }
    return std::nullopt;
  }
  void Tell(ShardId shard, Kind kind) {
    ReplicaNews news = News(sets_, kind, sets_.sets()[shard].primary, 3);
    news.shard = shard;
    news.epoch = sets_.sets()[shard].epoch;
    sets_.OnNews(news, now_);
  }
  int Held(uint32_t server) const {
    int held = 0;
    for (const ReplicaSet& set : sets_.sets()) {
      for (const ServerLife& life : set.in_sync) held += life.server == server;
    }
    return held;
  }

  ReplicaSets sets_;
};

TEST_F(MovingReplicasTest, AreCopiedFirstThenLeaveTheFullestServer) {
  for (int moved = 1; moved <= 2; ++moved) {
    const auto shard = Learning();
    ASSERT_TRUE(shard);
    Pass(absl::Seconds(100));  // one at a time, however long it takes
    EXPECT_EQ(Learning(), shard);
    EXPECT_EQ(sets_.sets()[*shard].in_sync.size(), 2u);
    Tell(*shard, Kind::kJoin);
    EXPECT_EQ(sets_.sets()[*shard].in_sync.size(), 3u);
    Pass(absl::Milliseconds(500));
    EXPECT_EQ(sets_.sets()[*shard].in_sync.size(), 2u);
    EXPECT_EQ(Held(3), moved);
    Pass(absl::Milliseconds(500));
  }
  EXPECT_EQ(Learning(), std::nullopt);
  EXPECT_EQ(Held(1), 3);
  EXPECT_EQ(Held(2), 3);
}

TEST_F(MovingReplicasTest, ACopyGivenUpIsTriedAgain) {
  Tell(*Learning(), Kind::kDrop);
  EXPECT_EQ(Learning(), std::nullopt);
  Pass(absl::Milliseconds(500));
  EXPECT_NE(Learning(), std::nullopt);
}

TEST_F(MovingReplicasTest, AServerThatFlapsGetsNothingForAWhile) {
  sets_.ServerDown(Life(3), now_);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(Learning(), std::nullopt);
  Up(sets_, 3);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(Learning(), std::nullopt);
  Pass(absl::Milliseconds(500));
  EXPECT_NE(Learning(), std::nullopt);
}

// A shard without its replicas comes first.
TEST_F(MovingReplicasTest, AFailureEndsTheMove) {
  const ShardId moving = *Learning();
  sets_.ServerDown(Life(2), now_);
  Pass(absl::ZeroDuration());
  Up(sets_, 2);
  for (int i = 0; i < 9; ++i) Pass(absl::Seconds(1));
  EXPECT_TRUE(sets_.sets()[moving].learners.empty());
}

TEST_F(ReplicaSetsTest, WithoutBalanceAfterPrimariesStay) {
  ReplicaSets sets(Options(4, 2, 2));
  Up(sets, 1);
  Up(sets, 2);
  for (ShardId shard : {0, 1, 2, 3}) ASSERT_TRUE(sets.Transfer(shard, 2).ok());
  sets.TakeChanged();
  for (int i = 0; i < 3; ++i) sets.Tick(now_ += absl::Hours(1));
  EXPECT_THAT(sets.TakeChanged(), IsEmpty());
}

TEST_F(ReplicaSetsTest, ADrainCalledOffLeavesNoReplicaTooMany) {
  ReplicaSetsOptions options = Options(1, 2, 2);
  options.balance_after = absl::Seconds(10);
  ReplicaSets sets(options);
  Up(sets, 1);
  Up(sets, 2);
  Up(sets, 3);
  sets.SetDrained(2, true);
  sets.Tick(now_);
  sets.OnNews(News(sets, Kind::kJoin, 1, 3), now_);
  sets.SetDrained(2, false);
  sets.Tick(now_);
  EXPECT_EQ(sets.sets()[0].in_sync.size(), 3u);
  sets.Tick(now_ + absl::Seconds(10));
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(Life(1), Life(2)));
}

// Server 1 and 2 have the shard and are gone; 3 lacks some of it.
class UnsafePromotionTest : public ReplicaSetsTest {
 protected:
  UnsafePromotionTest() : sets_(Options(1, 2, 3)) {
    for (uint32_t server : {1, 2, 3}) Up(sets_, server);
    before_ = sets_.sets()[0];
    for (const ServerLife& life : before_.in_sync) sets_.ServerDown(life, now_);
    sets_.Tick(now_);
    sets_.TakeChanged();
  }
  const ReplicaSet& set() { return sets_.sets()[0]; }
  uint32_t left() {
    for (uint32_t server : {1, 2, 3}) {
      if (server != before_.in_sync[0].server &&
          server != before_.in_sync[1].server) {
        return server;
      }
    }
    return 0;
  }

  ReplicaSets sets_;
  ReplicaSet before_;
};

TEST_F(UnsafePromotionTest, Rule3_10_BeginsAnotherHistoryAboveEveryEpoch) {
  ASSERT_TRUE(sets_.Offline(0));
  ASSERT_TRUE(sets_.safe_mode());  // nobody else would do anything
  ASSERT_TRUE(sets_.PromoteUnsafely(0, left(), 77).ok());
  EXPECT_GT(set().epoch, before_.epoch);
  EXPECT_EQ(set().term, set().epoch);
  EXPECT_NE(set().history, before_.history);
  EXPECT_EQ(set().base, Life(left()));
  EXPECT_EQ(set().ended_sessions, 77u);
  EXPECT_EQ(set().primary, left());
  EXPECT_THAT(set().in_sync, ElementsAre(Life(left())));
  EXPECT_THAT(set().learners, IsEmpty());
  EXPECT_FALSE(set().fencing);
  EXPECT_THAT(sets_.TakeChanged(), ElementsAre(0u));
  // The others return: they are copies to be made anew.
  for (const ServerLife& life : before_.in_sync) Up(sets_, life.server);
  sets_.Tick(now_ + absl::Minutes(10));
  EXPECT_THAT(set().in_sync, ElementsAre(Life(left())));
  EXPECT_EQ(set().learners.size(), 1u);
}

TEST_F(UnsafePromotionTest, Rule3_10_EmptyHasNoBase) {
  ASSERT_TRUE(sets_.PromoteUnsafely(0, 0, 77).ok());
  EXPECT_EQ(set().primary, left());
  EXPECT_EQ(set().base, ServerLife{});
}

TEST_F(UnsafePromotionTest, IsRefusedWhereItIsNotNeededOrCannotBe) {
  EXPECT_EQ(sets_.PromoteUnsafely(1, left(), 77).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(sets_.PromoteUnsafely(0, 9, 77).code(),
            absl::StatusCode::kNotFound);
  const uint32_t down = before_.in_sync[1].server;
  EXPECT_EQ(sets_.PromoteUnsafely(0, down, 77).code(),
            absl::StatusCode::kFailedPrecondition);
  ReplicaNews stopped = News(sets_, Kind::kStopped, left());
  sets_.OnNews(stopped, now_);
  EXPECT_EQ(sets_.PromoteUnsafely(0, left(), 77).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(sets_.PromoteUnsafely(0, 0, 77).code(),
            absl::StatusCode::kFailedPrecondition);
  Up(sets_, down);  // has everything
  for (const uint32_t server : {down, left(), 0u}) {
    EXPECT_EQ(sets_.PromoteUnsafely(0, server, 77).code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(set().history, before_.history);
}

// With one replica wanted its server goes on with what it has, also when it
// died before it had heard that it is the base.
TEST_F(ReplicaSetsTest, Rule3_10_ABaseAloneStaysTheBaseInItsNextLife) {
  ReplicaSets sets(Options(1, 1, 2));
  for (uint32_t server : {1, 2}) Up(sets, server);
  const ServerLife first = sets.sets()[0].in_sync[0];
  const uint32_t other = 3 - first.server;
  sets.ServerDown(first, now_);
  ASSERT_TRUE(sets.PromoteUnsafely(0, other, 77).ok());
  sets.ServerDown(Life(other), now_);
  sets.ServerUp({other, 999}, now_);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(ServerLife{other, 999}));
  EXPECT_EQ(sets.sets()[0].base, (ServerLife{other, 999}));
}

TEST_F(ReplicaSetsTest, Rule3_5_NeverBelowAPromise) {
  ReplicaSets sets = Three();
  ReplicaNews news = Answer(sets, 2, 1, 8);
  news.epoch = 40;
  sets.OnNews(news, now_);
  EXPECT_EQ(sets.sets()[0].epoch, 41u);
  EXPECT_TRUE(sets.sets()[0].fencing);
}

}  // namespace
}  // namespace paramo
