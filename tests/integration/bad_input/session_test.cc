// Numbered pushes that repeat, skip, or share a session (R1).
#include <signal.h>

#include <limits>

#include "common/base/limits.h"
#include "common/hash/hash128.h"
#include "common/routing/routing.h"
#include "paramo/v1/control.pb.h"
#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {
namespace {

using Code = absl::StatusCode;

constexpr uint32_t kShards = 64;
constexpr uint64_t kLastNumber = std::numeric_limits<uint64_t>::max();

// What number `seq` of the session pushes to row 1, hashed as a client does.
v1::Section Numbered(const v1::Table& table, uint64_t session, uint64_t seq,
                     float gradient) {
  v1::Section section = SimpleSection(
      table.id(), {1}, std::vector<float>(table.spec().dim(), gradient));
  section.set_shard(ShardOf(table.id(), 1, kShards));
  section.set_session(session);
  section.set_session_epoch(1);
  section.set_seq(seq);
  const std::string payload = section.keys() + section.values();
  const Hash128 hash = HashBytes128(payload.data(), payload.size());
  section.set_payload_hash_low(hash.low);
  section.set_payload_hash_high(hash.high);
  return section;
}

v1::SectionReply Answer(const Peer& server, const v1::Section& section) {
  v1::Request request;
  *request.add_push() = section;
  auto reply = server.Push(request);
  EXPECT_TRUE(reply.ok()) << reply.status();
  return reply.ok() && reply->push_size() == 1 ? reply->push(0)
                                               : v1::SectionReply();
}

class SessionTest : public BadInputTest {
 protected:
  void SetUp() override {
    auto opened = coordinator().OpenSession();
    ASSERT_TRUE(opened.ok()) << opened.status();
    session_ = opened->session();
    BadInputTest::SetUp();
  }
  v1::Section Push(uint64_t seq, float gradient = 1) const {
    return Numbered(victim_, session_, seq, gradient);
  }
  // It is applied; what follows must change nothing more.
  v1::SectionReply MustApply(const v1::Section& section) {
    const v1::SectionReply answer = Answer(server(), section);
    EXPECT_EQ(answer.code(), 0u) << answer.message();
    EXPECT_EQ(answer.outcome(), uint32_t{v1::OUTCOME_APPLIED});
    BadInputTest::SetUp();
    return answer;
  }
  static double Duplicates() {
    return server().Metric("paramo_push_duplicates_total");
  }

  uint64_t session_ = 0;
};

TEST_F(SessionTest, R1_AReplayGetsTheFirstAnswerAndChangesNothing) {
  const v1::SectionReply first = MustApply(Push(1));
  const double duplicates = Duplicates();
  for (int i = 0; i < 10; ++i) {
    const v1::SectionReply again = Answer(server(), Push(1));
    EXPECT_EQ(again.code(), 0u) << again.message();
    EXPECT_EQ(again.outcome(), first.outcome());
    EXPECT_EQ(again.lsn(), first.lsn());
  }
  EXPECT_EQ(Duplicates(), duplicates + 10);
  ExpectUnharmed();
}

TEST_F(SessionTest, R1_AReplayOfARefusedPushIsRefusedTheSameWay) {
  const v1::Section bad = Push(1, std::numeric_limits<float>::quiet_NaN());
  const v1::SectionReply first = Answer(server(), bad);
  EXPECT_EQ(first.reason(), uint32_t{v1::REASON_NON_FINITE});
  BadInputTest::SetUp();  // the refusal is a record
  const double duplicates = Duplicates();
  const v1::SectionReply again = Answer(server(), bad);
  EXPECT_EQ(again.code(), first.code());
  EXPECT_EQ(again.reason(), first.reason());
  EXPECT_EQ(again.outcome(), uint32_t{v1::OUTCOME_NONE});
  EXPECT_EQ(Duplicates(), duplicates + 1);
  ExpectUnharmed();
  MustApply(Push(2));  // the number is used up, and in nobody's way
}

TEST_F(SessionTest, R1_AReplayFromBeforeTheWindowIsRefused) {
  for (uint64_t seq = 1; seq <= kSessionWindow + 1; ++seq) {
    ASSERT_EQ(Answer(server(), Push(seq)).code(), 0u) << seq;
  }
  BadInputTest::SetUp();
  ExpectPushRefused(Push(1), Code::kFailedPrecondition,
                    v1::REASON_SESSION_EXPIRED);
  ExpectUnharmed();
  EXPECT_EQ(Answer(server(), Push(2)).code(), 0u);  // the oldest remembered
}

TEST_F(SessionTest, R1_ANumberWithOtherBytesIsAMismatch) {
  MustApply(Push(1, 1));
  ExpectPushRefused(Push(1, 2), Code::kInvalidArgument,
                    v1::REASON_SEQ_MISMATCH);
  v1::Section other_keys = Push(1, 1);
  other_keys.set_payload_hash_high(other_keys.payload_hash_high() ^ 1);
  ExpectPushRefused(other_keys, Code::kInvalidArgument,
                    v1::REASON_SEQ_MISMATCH);
  ExpectUnharmed();
  MustApply(Push(2));
}

TEST_F(SessionTest, R1_AGapWithinTheWindowIsToldWhatIsMissing) {
  MustApply(Push(1));
  const double held = server().Metric("paramo_held_pushes");
  ExpectPushRefused(Push(3), Code::kAborted, v1::REASON_SEQ_GAP);
  EXPECT_EQ(Answer(server(), Push(3)).expected_seq(), 2u);
  EXPECT_EQ(server().Metric("paramo_held_pushes"), held);
  ExpectUnharmed();
  MustApply(Push(2));
  MustApply(Push(3));
}

TEST_F(SessionTest, R1_AGapBeyondTheWindowIsRefusedAtOnce) {
  MustApply(Push(1));
  for (const uint64_t seq : {kSessionWindow + 2, uint64_t{1} << 63,
                             kLastNumber - kSessionWindow, kLastNumber}) {
    ExpectPushRefused(Push(seq), Code::kAborted, v1::REASON_SEQ_GAP);
    EXPECT_EQ(Answer(server(), Push(seq)).expected_seq(), 2u);
  }
  ExpectUnharmed();
  MustApply(Push(2));
}

// Also what a number that wrapped around would look like.
TEST_F(SessionTest, R1_ASessionThatIsUnknownBeginsAtItsBeginning) {
  for (const uint64_t seq : {kSessionWindow + 1, kLastNumber}) {
    ExpectPushRefused(Push(seq), Code::kFailedPrecondition,
                      v1::REASON_SESSION_EXPIRED);
  }
  ExpectUnharmed();
  MustApply(Push(1));
}

// Neither knows of the other: both count from 1.
TEST_F(SessionTest, R1_TwoProcessesWithOneSessionAreFoundOut) {
  const Peer other(server().address());
  MustApply(Push(1, 1));
  EXPECT_EQ(Answer(other, Push(1, 5)).reason(),
            uint32_t{v1::REASON_SEQ_MISMATCH});
  // It takes the number that the first one means to use next.
  EXPECT_EQ(Answer(other, Push(2, 5)).code(), 0u);
  BadInputTest::SetUp();
  ExpectPushRefused(Push(2, 1), Code::kInvalidArgument,
                    v1::REASON_SEQ_MISMATCH);
  ExpectUnharmed();
}

TEST_F(SessionTest, R1_ANewerIncarnationFencesTheOlder) {
  MustApply(Push(1));
  v1::Section newer = Push(1, 3);
  newer.set_session_epoch(2);
  MustApply(newer);
  for (const uint64_t seq : {uint64_t{1}, uint64_t{2}, kLastNumber}) {
    ExpectPushRefused(Push(seq), Code::kFailedPrecondition,
                      v1::REASON_SESSION_FENCED);
  }
  ExpectUnharmed();
  v1::Section next = Push(2, 3);
  next.set_session_epoch(2);
  MustApply(next);
}

// Sessions are in the log: a server that was killed knows what it answered.
TEST(SessionRestartTest, R1_AReplayAfterACrashGetsTheFirstAnswer) {
  TestCluster cluster({.servers = 1});
  auto table = cluster.coordinator().CreateTable(CountingTable("t", 1));
  auto opened = cluster.coordinator().OpenSession();
  ASSERT_TRUE(table.ok() && opened.ok());
  const uint64_t session = opened->session();
  const v1::SectionReply first =
      Answer(cluster.server(0), Numbered(*table, session, 1, 1));
  ASSERT_EQ(first.code(), 0u) << first.message();
  const auto sum = cluster.Checksum(table->id());

  cluster.StopServer(0, SIGKILL);
  cluster.StartServer(0);
  cluster.WaitUntilUp();
  const v1::SectionReply again =
      Answer(cluster.server(0), Numbered(*table, session, 1, 1));
  EXPECT_EQ(again.code(), 0u) << again.message();
  EXPECT_EQ(again.lsn(), first.lsn());
  EXPECT_EQ(Answer(cluster.server(0), Numbered(*table, session, 1, 2)).reason(),
            uint32_t{v1::REASON_SEQ_MISMATCH});
  EXPECT_EQ(cluster.Checksum(table->id()), sum);
}

}  // namespace
}  // namespace paramo::test
