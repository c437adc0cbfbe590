#include "server/shard/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/shard/section_task.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

wire::SectionHeader Numbered(SeqNo seq, uint64_t hash = 1) {
  wire::SectionHeader header;
  header.seq = seq;
  header.payload_hash_low = hash;
  return header;
}

// A session and its gate, as a primary has them.
class SessionTest : public ::testing::Test {
 protected:
  SeqVerdict Check(SeqNo seq, uint64_t hash = 1) const {
    return gate_.Check(Numbered(seq, hash), &session_);
  }
  void Append(SeqNo seq) { gate_.Append(Numbered(seq)); }
  std::vector<SectionTask*> Apply(SeqNo seq) {
    session_.Record(seq, {.hash_low = 1, .lsn = 100 + seq});
    return gate_.Settle(seq);
  }
  void AppendAndApply(SeqNo seq) {
    Append(seq);
    Apply(seq);
  }

  Session session_{1};
  SessionGate gate_{1, 0};
};

TEST_F(SessionTest, NumbersAreTakenInOrder) {
  EXPECT_EQ(Check(1), SeqVerdict::kFresh);
  EXPECT_EQ(Check(2), SeqVerdict::kHold);
  EXPECT_EQ(Check(kSessionWindow), SeqVerdict::kHold);
  EXPECT_EQ(Check(kSessionWindow + 1), SeqVerdict::kGap);
}

TEST_F(SessionTest, AnAnsweredNumberIsADuplicateWithItsAnswer) {
  AppendAndApply(1);
  EXPECT_EQ(Check(1), SeqVerdict::kDuplicate);
  EXPECT_EQ(session_.AnswerOf(1).lsn, 101u);
  EXPECT_EQ(Check(1, /*hash=*/2), SeqVerdict::kMismatch);
}

// Rule 2.1: `last` means appended. A retry of a push whose record is not
// committed yet must neither be taken for a fresh one nor be refused.
TEST_F(SessionTest, Rule2_1_ARetryOfAPendingNumberAttachesToIt) {
  AppendAndApply(1);
  Append(2);
  Append(3);
  EXPECT_EQ(Check(2), SeqVerdict::kPending);
  EXPECT_EQ(Check(3), SeqVerdict::kPending);
  EXPECT_EQ(Check(3, /*hash=*/2), SeqVerdict::kMismatch);
  EXPECT_EQ(Check(4), SeqVerdict::kFresh);
  SectionTask retry(nullptr);
  gate_.Attach(3, &retry);
  EXPECT_THAT(Apply(2), ElementsAre());
  EXPECT_THAT(Apply(3), ElementsAre(&retry));
  EXPECT_EQ(Check(3), SeqVerdict::kDuplicate);
}

TEST_F(SessionTest, TheFirstNumberIsPendingBeforeTheSessionIsThere) {
  Append(1);
  EXPECT_EQ(gate_.Check(Numbered(1), nullptr), SeqVerdict::kPending);
  EXPECT_EQ(gate_.Check(Numbered(2), nullptr), SeqVerdict::kFresh);
}

TEST_F(SessionTest, TheWholeWindowIsRemembered) {
  for (SeqNo seq = 1; seq <= 2 * kSessionWindow; ++seq) AppendAndApply(seq);
  EXPECT_EQ(Check(kSessionWindow), SeqVerdict::kForgotten);
  for (SeqNo seq = kSessionWindow + 1; seq <= 2 * kSessionWindow; ++seq) {
    EXPECT_EQ(Check(seq), SeqVerdict::kDuplicate) << seq;
    EXPECT_EQ(session_.AnswerOf(seq).lsn, 100 + seq);
  }
}

TEST_F(SessionTest, ANewGateGoesOnWhereTheSessionStands) {
  AppendAndApply(1);
  AppendAndApply(2);
  gate_ = SessionGate(1, session_.last());
  EXPECT_EQ(Check(1), SeqVerdict::kDuplicate);
  EXPECT_EQ(Check(3), SeqVerdict::kFresh);
}

TEST_F(SessionTest, HeldPushesComeInOrder) {
  SectionTask third(nullptr), second(nullptr), second_again(nullptr);
  EXPECT_EQ(gate_.Hold(3, &third), nullptr);
  EXPECT_EQ(gate_.Hold(2, &second), nullptr);
  EXPECT_EQ(gate_.Hold(2, &second_again), &second);
  EXPECT_EQ(gate_.TakeNext(), nullptr);
  Append(1);
  EXPECT_EQ(gate_.TakeNext(), &second_again);
  EXPECT_EQ(gate_.TakeNext(), nullptr);  // 2 is not appended yet
  Append(2);
  EXPECT_EQ(gate_.TakeNext(), &third);
}

TEST_F(SessionTest, WhoWaitsIsFoundWhenTheGateGoes) {
  SectionTask held(nullptr), retry(nullptr);
  gate_.Hold(3, &held);
  Append(1);
  gate_.Attach(1, &retry);
  EXPECT_THAT(gate_.TakeWaiting(), ElementsAre(&held, &retry));
  EXPECT_THAT(gate_.TakeWaiting(), ElementsAre());
}

}  // namespace
}  // namespace paramo
