// Pushes and pulls on one shard: fence, exactly-once, validation, values.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using wire::Outcome;
using wire::Reason;

class PushTest : public ::testing::Test {
 protected:
  PushTest() { h_.Apply(); }
  wire::SectionHeader Numbered(SeqNo seq) {
    wire::SectionHeader header = h_.Header();
    header.session = 9;
    header.session_epoch = 1;
    header.seq = seq;
    return header;
  }

  ShardHarness h_;
  std::vector<Key> keys_ = KeysOf(2, 3);
};

TEST_F(PushTest, AppliesAndAnswersWithItsPosition) {
  auto push = h_.Push(h_.Header(), {keys_[0]}, {1, 2, 3});
  ASSERT_TRUE(push->done());
  EXPECT_EQ(push->code(), absl::StatusCode::kOk);
  EXPECT_EQ(push->outcome(), Outcome::kApplied);
  EXPECT_GT(push->reply.header.lsn, 0u);
  EXPECT_EQ(push->reply.header.replicas, 1u);
  EXPECT_THAT(h_.Row(keys_[0]), ElementsAre(-1, -2, -3));
}

TEST_F(PushTest, PullCreatesNothing) {
  EXPECT_THAT(h_.Row(keys_[1]), Each(0));
  EXPECT_EQ(h_.shard().Report().rows, 0u);
}

TEST_F(PushTest, RowsThatStraddlePiecesAreTheSame) {
  for (size_t piece : {1, 3, 16, 50}) {
    SCOPED_TRACE(piece);
    ShardHarness h;
    h.Apply();
    auto push = h.Push(h.Header(), keys_, {1, 2, 3, 4, 5, 6, 7, 8, 9}, piece);
    EXPECT_EQ(push->code(), absl::StatusCode::kOk);
    EXPECT_THAT(h.Row(keys_[1]), ElementsAre(-4, -5, -6));
    EXPECT_THAT(h.Row(keys_[2]), ElementsAre(-7, -8, -9));
  }
}

TEST_F(PushTest, SameNumberAgainReturnsTheFirstAnswerAndChangesNothing) {
  auto first = h_.Push(Numbered(1), {keys_[0]}, {1, 1, 1});
  auto again = h_.Push(Numbered(1), {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(again->code(), absl::StatusCode::kOk);
  EXPECT_EQ(again->reply.header.lsn, first->reply.header.lsn);
  EXPECT_THAT(h_.Row(keys_[0]), Each(-1));
  EXPECT_EQ(h_.counters().duplicates.Value(), 1u);
}

TEST_F(PushTest, SameNumberWithOtherBytesIsRefused) {
  h_.Push(Numbered(1), {keys_[0]}, {1, 1, 1});
  auto other = h_.Push(Numbered(1), {keys_[0]}, {2, 2, 2});
  EXPECT_EQ(other->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(other->reason(), Reason::kSeqMismatch);
  EXPECT_THAT(h_.Row(keys_[0]), Each(-1));
}

TEST_F(PushTest, EarlyPushIsHeldUntilTheGapFills) {
  auto second = h_.Push(Numbered(2), {keys_[0]}, {10, 10, 10});
  EXPECT_FALSE(second->done());
  EXPECT_THAT(h_.Row(keys_[0]), Each(0));
  auto first = h_.Push(Numbered(1), {keys_[0]}, {1, 1, 1});
  EXPECT_TRUE(first->done());
  EXPECT_TRUE(second->done());
  EXPECT_GT(second->reply.header.lsn, first->reply.header.lsn);
  EXPECT_THAT(h_.Row(keys_[0]), Each(-11));
}

TEST_F(PushTest, HeldPushIsSentBackWhenTheGapStays) {
  auto second = h_.Push(Numbered(2), {keys_[0]}, {10, 10, 10});
  h_.Expire(absl::Milliseconds(kHeldPushMs - 1));
  EXPECT_FALSE(second->done());
  h_.Expire(absl::Milliseconds(kHeldPushMs));
  ASSERT_TRUE(second->done());
  EXPECT_EQ(second->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(second->reason(), Reason::kSeqGap);
  EXPECT_EQ(second->reply.header.expected_seq, 1u);
  EXPECT_EQ(second->outcome(), Outcome::kNone);
}

TEST_F(PushTest, BeyondTheWindowIsToldWhatIsExpected) {
  h_.Push(Numbered(1), {keys_[0]}, {1, 1, 1});
  auto far = h_.Push(Numbered(kSessionWindow + 2), {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(far->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(far->reason(), Reason::kSeqGap);
  EXPECT_EQ(far->reply.header.expected_seq, 2u);
}

TEST_F(PushTest, UnknownSessionInMidLifeHasExpired) {
  auto push = h_.Push(Numbered(1000), {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(push->reason(), Reason::kSessionExpired);
}

TEST_F(PushTest, NewerIncarnationFencesTheOlder) {
  h_.Push(Numbered(1), {keys_[0]}, {1, 1, 1});
  wire::SectionHeader newer = Numbered(1);
  newer.session_epoch = 2;
  EXPECT_EQ(h_.Push(newer, {keys_[0]}, {1, 1, 1})->code(),
            absl::StatusCode::kOk);
  auto older = h_.Push(Numbered(2), {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(older->reason(), Reason::kSessionFenced);
}

TEST_F(PushTest, FinalRefusalConsumesItsNumber) {
  float nan = std::numeric_limits<float>::quiet_NaN();
  auto bad = h_.Push(Numbered(1), {keys_[0]}, {1, nan, 1});
  EXPECT_EQ(bad->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(bad->reason(), Reason::kNonFinite);
  EXPECT_THAT(h_.Row(keys_[0]), Each(0));
  // The next number goes on: no refused push ever wedges a session.
  EXPECT_EQ(h_.Push(Numbered(2), {keys_[0]}, {1, 1, 1})->code(),
            absl::StatusCode::kOk);
  // And the refused one keeps its answer.
  auto again = h_.Push(Numbered(1), {keys_[0]}, {1, nan, 1});
  EXPECT_EQ(again->reason(), Reason::kNonFinite);
}

TEST_F(PushTest, DamagedBytesConsumeNothing) {
  wire::SectionHeader header = Numbered(1);
  auto good = h_.Push(header, {keys_[0]}, {1, 1, 1});
  wire::RequestWriter writer(1, 0, 0);
  writer.AddPush(Numbered(2), 1, 12);
  writer.Allocate();
  memcpy(writer.keys(0), &keys_[0], 8);
  memset(writer.values(0), 0, 12);
  writer.Seal(0);
  writer.values(0)[3] ^= 0x40;  // damaged behind the seal
  Message message = writer.Take();
  auto view = wire::ParseRequest(Rope::FromString(std::string(
      reinterpret_cast<char*>(message[0].data()), message[0].size())));
  ASSERT_TRUE(view.ok());
  ShardHarness::Sent sent;
  sent.shard = &h_.shard();
  sent.section = view->push[0];
  sent.data = std::make_shared<RequestData>();
  sent.data->rope = std::move(view->rope);
  h_.shard().Submit(&sent);
  EXPECT_EQ(sent.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(sent.reason(), Reason::kChecksum);
  EXPECT_EQ(h_.Push(Numbered(2), {keys_[0]}, {1, 1, 1})->code(),
            absl::StatusCode::kOk);
  EXPECT_THAT(h_.Row(keys_[0]), Each(-2));
}

struct Case {
  const char* name;
  void (*change)(wire::SectionHeader&);
  absl::StatusCode code;
  Reason reason;
};
class RefusalTest : public PushTest,
                    public ::testing::WithParamInterface<Case> {};

TEST_P(RefusalTest, StateStaysAndShardServes) {
  wire::SectionHeader header = h_.Header();
  GetParam().change(header);
  auto push = h_.Push(header, {keys_[0]}, {1, 1, 1});
  ASSERT_TRUE(push->done());
  EXPECT_EQ(push->code(), GetParam().code);
  EXPECT_EQ(push->reason(), GetParam().reason);
  EXPECT_FALSE(push->reply.message.empty());
  auto pull = h_.Pull(header, {keys_[0]});
  EXPECT_EQ(pull->code(), GetParam().code);
  EXPECT_EQ(
      h_.counters().refused[static_cast<size_t>(GetParam().reason)]->Value(),
      2u);
  EXPECT_THAT(h_.Row(keys_[0]), Each(0));
  EXPECT_EQ(h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1})->code(),
            absl::StatusCode::kOk);
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusalTest,
    ::testing::Values(
        Case{"OldEpoch", [](wire::SectionHeader& h) { h.epoch = 2; },
             absl::StatusCode::kAborted, Reason::kWrongEpoch},
        Case{"FutureEpoch", [](wire::SectionHeader& h) { h.epoch = 4; },
             absl::StatusCode::kAborted, Reason::kWrongEpoch},
        Case{"OtherHistory", [](wire::SectionHeader& h) { h.history = 8; },
             absl::StatusCode::kAborted, Reason::kWrongHistory},
        Case{"UnknownTable", [](wire::SectionHeader& h) { h.table = 99; },
             absl::StatusCode::kNotFound, Reason::kUnknownTable},
        Case{"TableToCome",
             [](wire::SectionHeader& h) {
               h.table_version = 1;
               h.table = 100;
             },
             absl::StatusCode::kAborted, Reason::kTableVersion},
        Case{"FutureTable", [](wire::SectionHeader& h) { h.table_version = 2; },
             absl::StatusCode::kAborted, Reason::kTableVersion}),
    [](const auto& info) { return info.param.name; });

TEST_F(PushTest, WrongDimensionsAndForeignKeysAreRefused) {
  auto dims = h_.Push(h_.Header(), {keys_[0]}, {1, 1});
  EXPECT_EQ(dims->reason(), Reason::kDimensions);
  EXPECT_THAT(dims->reply.message, HasSubstr("12"));
  auto foreign = h_.Push(h_.Header(), {KeysOf(1, 1)[0]}, {1, 1, 1});
  EXPECT_EQ(foreign->reason(), Reason::kKeys);
  EXPECT_THAT(foreign->reply.message, HasSubstr("shard 1"));
  wire::SectionHeader codec = h_.Header();
  codec.codec = 9;
  EXPECT_EQ(h_.Push(codec, {keys_[0]}, {1, 1, 1})->reason(), Reason::kCodec);
  EXPECT_EQ(h_.Push(h_.Header(), {}, {})->reason(), Reason::kKeys);
  EXPECT_EQ(h_.Pull(h_.Header(), {})->reason(), Reason::kKeys);
}

TEST_F(PushTest, DuplicateKeysAreAppliedAsTheirSum) {
  h_.Push(h_.Header(), {keys_[0], keys_[1], keys_[0]},
          {1, 2, 3, 10, 10, 10, 4, 5, 6});
  EXPECT_THAT(h_.Row(keys_[0]), ElementsAre(-5, -7, -9));
}

TEST_F(PushTest, AShardThatIsNotServedHereSaysSo) {
  h_.NextTerm();
  h_.view().shards[2].config.primary = 5;
  h_.view().shards[2].config.in_sync = {{5, 95}};
  h_.Apply();
  auto push = h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(push->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(push->reason(), Reason::kWrongShard);
}

TEST_F(PushTest, ADroppedTableIsGone) {
  h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  h_.view().tables.clear();
  h_.Apply();
  EXPECT_EQ(h_.Pull(h_.Header(), {keys_[0]})->code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(h_.shard().Report().rows, 0u);
}

class SessionLimitTest : public PushTest {
 protected:
  std::unique_ptr<ShardHarness::Sent> Push(SessionId session, SeqNo seq) {
    wire::SectionHeader header = Numbered(seq);
    header.session = session;
    return h_.Push(header, {keys_[0]}, {0, 0, 0});
  }
  void Fill() {
    for (SessionId id = 2; id <= kSessionsPerShardMax + 1; ++id) {
      ASSERT_EQ(Push(id, 1)->code(), absl::StatusCode::kOk);
    }
  }
};

TEST_F(SessionLimitTest, ThoseThatWereSilentForLongestExpire) {
  Fill();
  ASSERT_EQ(Push(2, 2)->code(), absl::StatusCode::kOk);  // not silent
  EXPECT_EQ(h_.shard().Report().sessions, kSessionsPerShardMax);
  ASSERT_EQ(Push(kSessionsPerShardMax + 2, 1)->code(), absl::StatusCode::kOk);
  EXPECT_EQ(h_.shard().Report().sessions,
            kSessionsPerShardMax - kSessionsExpiredAtOnce + 1);
  EXPECT_EQ(Push(2, 3)->code(), absl::StatusCode::kOk);
  // Its first push, sent again, must not be taken for new.
  auto again = Push(3, 1);
  EXPECT_EQ(again->code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(again->reason(), Reason::kSessionExpired);
  EXPECT_EQ(Push(3, 2)->reason(), Reason::kSessionExpired);
  // One that came long ago and was never here comes too late.
  EXPECT_EQ(Push(1, 1)->reason(), Reason::kSessionExpired);
  // The next that is still there goes on.
  EXPECT_EQ(Push(3 + kSessionsExpiredAtOnce, 2)->code(), absl::StatusCode::kOk);
}

TEST_F(SessionLimitTest, WhatHasExpiredStaysSoOverARestart) {
  Fill();
  Push(kSessionsPerShardMax + 2, 1);
  h_.Restart();
  EXPECT_EQ(Push(3, 1)->reason(), Reason::kSessionExpired);
  EXPECT_EQ(Push(3 + kSessionsExpiredAtOnce, 2)->code(), absl::StatusCode::kOk);
}

}  // namespace
}  // namespace paramo
