// What an operator may decide about a lost shard.
#include "server/coordinator/replica_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/coordinator/replica_sets_testing.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = ReplicaNews::Kind;

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

}  // namespace
}  // namespace paramo
