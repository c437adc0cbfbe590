// Rule 3.10: a shard that goes on in another history.
#include <gmock/gmock.h>

#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using wire::Reason;

constexpr HistoryId kNext = 8;
constexpr SessionId kEnded = 20;

class ShardHistoryTest : public ::testing::Test {
 protected:
  ShardHistoryTest() {
    h_.Apply();
    EXPECT_EQ(h_.Push(Numbered(9, 1), {key_}, {1, 1, 1})->code(),
              absl::StatusCode::kOk);
  }
  wire::SectionHeader Numbered(SessionId session, SeqNo seq) {
    wire::SectionHeader header = h_.Header();
    header.session = session;
    header.session_epoch = 1;
    header.seq = seq;
    return header;
  }
  void Promote(const ReplicaId& base) {
    h_.NextTerm();
    ShardConfig& config = h_.view().shards[2].config;
    config.history = kNext;
    config.base = base;
    config.ended_sessions = kEnded;
    h_.Apply();
  }

  ShardHarness h_;
  const Key key_ = KeysOf(2, 1)[0];
};

TEST_F(ShardHistoryTest, WhatItIsBasedOnStaysAndSessionsEnd) {
  Promote(kSelf);
  EXPECT_THAT(h_.Row(key_), Each(-1));
  // A retry may be of a push that is there, or of one that is lost.
  for (const SessionId session : {SessionId{9}, SessionId{15}, kEnded}) {
    for (const SeqNo seq : {1, 2}) {
      auto push = h_.Push(Numbered(session, seq), {key_}, {1, 1, 1});
      EXPECT_EQ(push->code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_EQ(push->reason(), Reason::kSessionExpired);
      EXPECT_THAT(push->reply.message, HasSubstr("promoted unsafely"));
    }
  }
  EXPECT_THAT(h_.Row(key_), Each(-1));
  auto push = h_.Push(Numbered(kEnded + 1, 1), {key_}, {1, 1, 1});
  EXPECT_EQ(push->code(), absl::StatusCode::kOk) << push->reply.message;
  EXPECT_EQ(push->reply.header.history, kNext);
  EXPECT_THAT(h_.Row(key_), Each(-2));
}

TEST_F(ShardHistoryTest, SessionsStayOverAfterATakeover) {
  Promote(kSelf);
  const size_t records = h_.port().log().size();
  h_.NextTerm();
  h_.Apply();
  EXPECT_EQ(h_.port().log().size(), records + 1) << "only a no-op is new";
  EXPECT_EQ(h_.Push(Numbered(9, 2), {key_}, {1, 1, 1})->reason(),
            Reason::kSessionExpired);
}

TEST_F(ShardHistoryTest, ARequestOfTheOldHistoryIsSentForANewMap) {
  wire::SectionHeader header = Numbered(9, 2);
  Promote(kSelf);
  header.epoch = h_.view().shards[2].config.epoch;
  EXPECT_EQ(h_.Push(header, {key_}, {1, 1, 1})->reason(),
            Reason::kWrongHistory);
}

TEST_F(ShardHistoryTest, AHistoryThatBeginsEmptyHasNothing) {
  Promote(ReplicaId{});
  EXPECT_EQ(h_.port().wipes(), 1);
  EXPECT_THAT(h_.Row(key_), Each(0));
  EXPECT_EQ(h_.shard().Report().rows, 0u);
  EXPECT_EQ(h_.shard().Report().history, kNext);
  EXPECT_EQ(h_.Push(Numbered(9, 2), {key_}, {1, 1, 1})->reason(),
            Reason::kSessionExpired);
  auto push = h_.Push(Numbered(kEnded + 1, 1), {key_}, {1, 1, 1});
  EXPECT_EQ(push->code(), absl::StatusCode::kOk) << push->reply.message;
  EXPECT_THAT(h_.Row(key_), Each(-1));
}

// Rows that come back after the wipe would be of no history.
TEST_F(ShardHistoryTest, AFlushUnderWayIsAwaited) {
  std::optional<ShardFlush> flush;
  h_.shard().Collect(100, [&](ShardFlush f) { flush = std::move(f); });
  ASSERT_TRUE(flush.has_value());
  Promote(ReplicaId{});
  EXPECT_EQ(h_.port().wipes(), 0);
  h_.shard().Flushed(*flush, absl::OkStatus());
  EXPECT_EQ(h_.port().wipes(), 1);
  EXPECT_THAT(h_.Row(key_), Each(0));
}

// Part of a copy is in the store: it fits the records here only after a
// restart.
TEST_F(ShardHistoryTest, HalfACopyIsNoBase) {
  ShardConfig& config = h_.view().shards[2].config;
  config.in_sync = {{2, 92}};
  config.learners = {kSelf};
  config.primary = 2;
  h_.NextTerm();
  h_.Apply();
  h_.shard().Post([&] {
    EXPECT_FALSE(h_.shard().BeginInstall(kNext).ok());
    EXPECT_TRUE(h_.shard().BeginInstall(config.history).ok());
  });
  config.in_sync = {kSelf};
  config.learners.clear();
  config.primary = 1;
  Promote(kSelf);
  EXPECT_EQ(h_.shard().replica().role(), Role::kStopped);
}

}  // namespace
}  // namespace paramo
