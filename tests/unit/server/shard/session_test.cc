#include "server/shard/session.h"

#include <gtest/gtest.h>

#include "server/shard/section_task.h"

namespace paramo {
namespace {

wire::SectionHeader Numbered(SeqNo seq, uint64_t hash = 1) {
  wire::SectionHeader header;
  header.seq = seq;
  header.payload_hash_low = hash;
  return header;
}

void Answer(Session& session, SeqNo seq) {
  wire::SectionReplyHeader reply;
  reply.lsn = 100 + seq;
  session.Record(Numbered(seq), reply);
}

TEST(SessionTest, NumbersAreTakenInOrder) {
  Session session(1);
  EXPECT_EQ(session.Check(Numbered(1)), SeqVerdict::kFresh);
  EXPECT_EQ(session.Check(Numbered(2)), SeqVerdict::kHold);
  EXPECT_EQ(session.Check(Numbered(kSessionWindow)), SeqVerdict::kHold);
  EXPECT_EQ(session.Check(Numbered(kSessionWindow + 1)), SeqVerdict::kGap);
}

TEST(SessionTest, AnAnsweredNumberIsADuplicateWithItsAnswer) {
  Session session(1);
  Answer(session, 1);
  EXPECT_EQ(session.Check(Numbered(1)), SeqVerdict::kDuplicate);
  EXPECT_EQ(session.AnswerOf(1).lsn, 101u);
  EXPECT_EQ(session.Check(Numbered(1, /*hash=*/2)), SeqVerdict::kMismatch);
}

TEST(SessionTest, TheWholeWindowIsRemembered) {
  Session session(1);
  for (SeqNo seq = 1; seq <= 2 * kSessionWindow; ++seq) Answer(session, seq);
  EXPECT_EQ(session.Check(Numbered(kSessionWindow)), SeqVerdict::kForgotten);
  for (SeqNo seq = kSessionWindow + 1; seq <= 2 * kSessionWindow; ++seq) {
    EXPECT_EQ(session.Check(Numbered(seq)), SeqVerdict::kDuplicate) << seq;
    EXPECT_EQ(session.AnswerOf(seq).lsn, 100 + seq);
  }
}

TEST(SessionTest, HeldPushesComeInOrder) {
  Session session(1);
  SectionTask third(nullptr), second(nullptr), second_again(nullptr);
  EXPECT_EQ(session.Hold(3, &third), nullptr);
  EXPECT_EQ(session.Hold(2, &second), nullptr);
  EXPECT_EQ(session.Hold(2, &second_again), &second);
  EXPECT_EQ(session.TakeNext(), nullptr);
  Answer(session, 1);
  EXPECT_EQ(session.TakeNext(), &second_again);
  EXPECT_EQ(session.TakeNext(), nullptr);  // 2 is not answered yet
  Answer(session, 2);
  EXPECT_EQ(session.TakeNext(), &third);
}

}  // namespace
}  // namespace paramo
