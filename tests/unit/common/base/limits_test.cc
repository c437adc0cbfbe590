// The relations between limits that other code relies on.
#include "common/base/limits.h"

#include <gtest/gtest.h>

namespace paramo {
namespace {

TEST(LimitsTest, LargestRowFitsAMessage) {
  EXPECT_LT(size_t{kDimMax} * 4 + (1u << 20), kMessageBytesMax);
}

TEST(LimitsTest, AllKeysOfARequestFitAMessage) {
  EXPECT_LT(kKeysMax * 8, kMessageBytesMax);
}

TEST(LimitsTest, OneSectionPerShardFits) {
  EXPECT_LE(kShardsMax, kSectionsMax);
  EXPECT_EQ(kShardsMax & (kShardsMax - 1), 0u);
  EXPECT_EQ(kShardsDefault & (kShardsDefault - 1), 0u);
}

TEST(LimitsTest, OneMessagePinsLessThanTheBudget) {
  EXPECT_LE(kMessageBytesMax * 2 + kReadChunkBytes, kHeldBytesDefault);
}

// What is taken can be logged, and what is logged can be sent to a replica.
// (push_record.cc and peer_links.cc hold it against what they add.)
TEST(LimitsTest, TheLargestPushFitsTheLogAndAMessageToAReplica) {
  EXPECT_LT(kPushBytesMax, kLogPayloadBytesMax);
  EXPECT_LT(kLogPayloadBytesMax, kMessageBytesMax);
  EXPECT_LE(kLogPayloadBytesMax * 2, kTailBytesMax);
  EXPECT_LE(kLogPayloadBytesMax, kLogBufferBytesDefault);
}

// One peer leaves most of the room to others; a job's workers all fit.
TEST(LimitsTest, OnePeerIsASmallShareOfAllConnections) {
  EXPECT_LE(kConnectionsPerPeerMax * 16, kConnectionsMax);
  EXPECT_LE(kWorkersPerJobMax * 2, kConnectionsMax);
}

TEST(LimitsTest, DefaultDeadlineIsAllowed) {
  EXPECT_LE(kDeadlineDefaultMs, kDeadlineMaxMs);
}

}  // namespace
}  // namespace paramo
