#include "client/core/sent_lists.h"

#include <gtest/gtest.h>

#include "common/base/limits.h"

namespace paramo::client {
namespace {

Hash128 List(uint64_t i) { return {i, ~i}; }

class SentListsTest : public ::testing::Test {
 protected:
  SentListsTest() { Hello(1); }

  void Hello(uint64_t incarnation, bool takes_hashes = true) {
    wire::Hello hello;
    hello.server_incarnation = incarnation;
    hello.key_lists = takes_hashes;
    sent_.OnHello(hello);
  }
  bool Send(uint64_t list) { return sent_.GoesAsHash(List(list), false); }
  // Sends a list that is new until one goes as a hash the second time.
  int SendUntilAHashGoes() {
    int whole = 0;
    for (uint64_t list = 1'000'000;; ++list) {
      Send(list);
      if (Send(list)) return whole;
      ++whole;
    }
  }

  SentLists sent_;
};

TEST_F(SentListsTest, GoesAsAHashTheSecondTime) {
  EXPECT_FALSE(Send(1));
  EXPECT_TRUE(Send(1));
  EXPECT_FALSE(Send(2));
  EXPECT_TRUE(Send(1));
}

TEST_F(SentListsTest, GoesWholeWhenItIsSentAgain) {
  EXPECT_FALSE(sent_.GoesAsHash(List(1), true));
  EXPECT_FALSE(sent_.GoesAsHash(List(1), true));
  EXPECT_TRUE(Send(1));
}

TEST_F(SentListsTest, GoesWholeToAServerThatTakesNoHashes) {
  Hello(2, /*takes_hashes=*/false);
  EXPECT_FALSE(Send(1));
  EXPECT_FALSE(Send(1));
  SentLists before_any_hello;
  EXPECT_FALSE(before_any_hello.GoesAsHash(List(1), false));
  EXPECT_FALSE(before_any_hello.GoesAsHash(List(1), false));
}

TEST(FirstHelloTest, WhatWaitedForItIsKnown) {
  SentLists sent;
  EXPECT_FALSE(sent.GoesAsHash(List(1), false));
  wire::Hello hello;
  hello.server_incarnation = 7;
  hello.key_lists = true;
  sent.OnHello(hello);
  EXPECT_TRUE(sent.GoesAsHash(List(1), false));
}

TEST_F(SentListsTest, AServerThatHasStartedAnewKnowsNothing) {
  Send(1);
  Hello(1);  // another connection
  EXPECT_TRUE(Send(1));
  Hello(2);
  EXPECT_FALSE(Send(1));
  EXPECT_TRUE(Send(1));
}

TEST_F(SentListsTest, WrongGuessesBecomeRareUnlessOthersAreRight) {
  int before = 0;
  for (int i = 0; i < 12; ++i) {
    SendUntilAHashGoes();
    sent_.OnNeedKeys();
    const int whole = SendUntilAHashGoes();
    EXPECT_GE(whole, std::min(2 * before, 60'000));
    before = whole;
    sent_.OnNeedKeys();
  }
  EXPECT_LE(before, 70'000);
  Send(1);
  while (!Send(1)) continue;
  for (int i = 0; i < 2'000'000; ++i) ASSERT_TRUE(Send(1));
  sent_.OnNeedKeys();
  EXPECT_LT(SendUntilAHashGoes(), 200);
}

// Several answers may be about one restart.
TEST_F(SentListsTest, OneWrongGuessCountsOnce) {
  Send(1);
  Send(1);
  for (int i = 0; i < 100; ++i) sent_.OnNeedKeys();
  EXPECT_LT(SendUntilAHashGoes(), 200);
}

TEST_F(SentListsTest, RemembersTheLimitAtMostAndWhatIsUsed) {
  Send(0);
  for (uint64_t list = 1; list <= 4 * kSentListsMax; ++list) {
    Send(list);
    if (list % (kSentListsMax / 4) != 0) continue;
    ASSERT_TRUE(Send(0)) << list;
  }
  EXPECT_FALSE(Send(3 * kSentListsMax));
  EXPECT_TRUE(Send(4 * kSentListsMax));
}

}  // namespace
}  // namespace paramo::client
