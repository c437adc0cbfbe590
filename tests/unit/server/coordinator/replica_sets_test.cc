#include "server/coordinator/replica_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/server/coordinator/replica_sets_testing.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Kind = ReplicaNews::Kind;

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

// It moves nothing; while others might be in sync nobody is moved at all.
TEST_F(ReplicaSetsTest, Rule3_9_ALonePrimaryGetsItsTermThoughMostAreDead) {
  ReplicaSets sets = Three();
  for (uint32_t server : {2, 3}) sets.ServerDown(Life(server), now_);
  ASSERT_TRUE(sets.safe_mode());
  sets.OnNews(News(sets, Kind::kTakeAgain, 1), now_);
  EXPECT_FALSE(sets.sets()[0].fencing);
  for (uint32_t server : {2, 3}) Up(sets, server);
  for (uint32_t peer : {2, 3}) {
    sets.OnNews(News(sets, Kind::kDrop, 1, peer), now_);
  }
  for (uint32_t server : {2, 3}) sets.ServerDown(Life(server), now_);
  ASSERT_TRUE(sets.safe_mode());
  const Epoch term = sets.sets()[0].term;
  sets.OnNews(News(sets, Kind::kTakeAgain, 1), now_);
  ASSERT_TRUE(sets.sets()[0].fencing);
  sets.OnNews(Answer(sets, 1, 1, 9), now_);
  EXPECT_FALSE(sets.sets()[0].fencing);
  EXPECT_EQ(sets.sets()[0].primary, 1u);
  EXPECT_GT(sets.sets()[0].term, term);
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

// The proof is of what one incarnation had.
TEST_F(ReplicaSetsTest, ALastMemberGoesOnWithWhatItHasProofOf) {
  ReplicaSets sets(Options(2, 2, 1));
  Up(sets, 1);
  sets.ServerDown(Life(1), now_);
  for (const uint64_t stranger : {uint64_t{0}, uint64_t{9}}) {
    sets.ServerUp({1, 11}, now_, /*damaged=*/{1}, /*continues=*/stranger);
    EXPECT_TRUE(sets.Offline(0));
  }
  const ServerLife next = {1, 12};
  sets.ServerUp(next, now_, /*damaged=*/{1}, Life(1).incarnation);
  EXPECT_THAT(sets.sets()[0].in_sync, ElementsAre(next));
  EXPECT_FALSE(sets.Offline(0));
  EXPECT_THAT(sets.sets()[1].in_sync, ElementsAre(Life(1)));
  EXPECT_TRUE(sets.Offline(1));
}

TEST_F(ReplicaSetsTest, WhoeverHasAnotherReplicaIsALearnerAgain) {
  ReplicaSets sets = Three();
  sets.ServerDown(Life(1), now_);
  sets.ServerUp({1, 11}, now_, /*damaged=*/{0}, Life(1).incarnation);
  sets.Tick(now_);
  EXPECT_TRUE(sets.sets()[0].fencing);
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
