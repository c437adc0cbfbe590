// Transfers, drains, and what moves by itself.
#include "server/coordinator/replica_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/server/coordinator/replica_sets_testing.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Kind = ReplicaNews::Kind;

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

}  // namespace
}  // namespace paramo
