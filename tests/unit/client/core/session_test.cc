#include "client/core/session.h"

#include <gtest/gtest.h>

namespace paramo::client {
namespace {

TEST(Session, NumbersAreDensePerShard) {
  Session session(1, 1, 2);
  EXPECT_EQ(session.Take(0), 1u);
  EXPECT_EQ(session.Take(0), 2u);
  EXPECT_EQ(session.Take(1), 1u);
}

TEST(Session, WindowMovesWithTheLowestUnsettledNumber) {
  Session session(1, 1, 1);
  for (uint64_t i = 1; i <= kSessionWindow; ++i) {
    ASSERT_TRUE(session.MayTake(0));
    EXPECT_EQ(session.Take(0), i);
  }
  EXPECT_FALSE(session.MayTake(0));
  // Later answers do not move it while number 1 is out.
  for (uint64_t i = 2; i <= kSessionWindow; ++i) session.Settle(0, i);
  EXPECT_FALSE(session.MayTake(0));
  session.Settle(0, 1);
  EXPECT_EQ(session.lowest(0), kSessionWindow + 1);
  EXPECT_TRUE(session.MayTake(0));
}

TEST(Session, ASecondAnswerToANumberChangesNothing) {
  Session session(1, 1, 1);
  session.Take(0);
  session.Take(0);
  session.Settle(0, 1);
  session.Settle(0, 1);
  EXPECT_EQ(session.lowest(0), 2u);
}

TEST(Session, APushFollowsEarlierUnsentOnesOnly) {
  Session session(1, 1, 1);
  for (int i = 0; i < 4; ++i) session.Take(0);
  EXPECT_TRUE(session.MustFollow(0, 2));
  for (SeqNo seq : {1, 3, 4}) session.SetUnsent(0, seq, false);
  EXPECT_FALSE(session.MustFollow(0, 1));
  EXPECT_FALSE(session.MustFollow(0, 2));
  EXPECT_TRUE(session.MustFollow(0, 3));
  session.Settle(0, 1);  // the window moves; 2 is still unsent
  EXPECT_TRUE(session.MustFollow(0, 4));
  session.SetUnsent(0, 2, false);
  EXPECT_FALSE(session.MustFollow(0, 4));
  session.SetUnsent(0, 3, true);
  session.Settle(0, 3);  // answered: nobody waits for it
  EXPECT_FALSE(session.MustFollow(0, 4));
}

TEST(Session, FloorNeverGoesBackWithinOneHistory) {
  Session session(1, 1, 1);
  session.Saw(0, /*history=*/5, /*epoch=*/2, /*lsn=*/10);
  session.Saw(0, 5, 2, 8);
  EXPECT_EQ(session.floor_lsn(0), 10u);
  session.Saw(0, 5, 1, 99);
  EXPECT_EQ(session.floor_epoch(0), 2u);
  EXPECT_EQ(session.floor_lsn(0), 10u);
  session.Saw(0, 5, 3, 4);  // a new epoch counts for itself
  EXPECT_EQ(session.floor_epoch(0), 3u);
  EXPECT_EQ(session.floor_lsn(0), 4u);
}

TEST(Session, FloorStartsAnewInAnotherHistory) {
  Session session(1, 1, 1);
  session.Saw(0, 5, 7, 10);
  session.Saw(0, 6, 1, 2);
  EXPECT_EQ(session.floor_epoch(0), 1u);
  EXPECT_EQ(session.floor_lsn(0), 2u);
}

TEST(Session, AfterABigPushAllTakeItsLane) {
  Session session(7, 1, 2);
  EXPECT_FALSE(session.TakesBulkLane(/*bytes=*/100, /*big=*/100));
  EXPECT_TRUE(session.TakesBulkLane(101, 100));
  EXPECT_TRUE(session.TakesBulkLane(1, 100));
}

}  // namespace
}  // namespace paramo::client
