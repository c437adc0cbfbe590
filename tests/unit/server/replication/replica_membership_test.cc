// Joining, leaving, and catching up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/replication/replication_testing.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using Kind = ReplicaReport::Kind;

class ReplicaMembershipTest : public ::testing::Test {
 protected:
  // A leads {A} and has records 1 (no-op) to 3; B is new.
  ReplicaMembershipTest() {
    wiring_.Add(kA);
    wiring_.Configure(Config(1, 1, kA.server, {kA}));
    wiring_.Settle();
    Push(a(), "1st");
    Push(a(), "2nd");
    wiring_.Settle();
    wiring_.Add(kB);
  }
  Node& a() { return wiring_[kA]; }
  Node& b() { return wiring_[kB]; }

  // Gives A what it asked its log for.
  void AnswerRead() {
    ASSERT_FALSE(a().reads.empty());
    const auto [peer, from] = a().reads.back();
    std::vector<Record> records;
    for (const auto& [record, level] : a().log) {
      if (record.lsn() >= from) records.push_back(record);
    }
    a().replica.OnLogRead(peer, std::move(records), wiring_.now());
  }
  void MakeLearner() {
    wiring_.Configure(Config(2, 1, kA.server, {kA}, {kB}));
    wiring_.Settle();
    wiring_.Pass(absl::Milliseconds(60));  // a heartbeat says where it stands
  }

  Wiring wiring_;
};

TEST_F(ReplicaMembershipTest, Rule3_1_LearnerCatchesUpAndJoins) {
  MakeLearner();
  EXPECT_EQ(a().reads.back().second, 1u);
  EXPECT_EQ(a().Reports(Kind::kJoin), 0u);
  AnswerRead();
  wiring_.Settle();
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("", "1st", "2nd"));
  ASSERT_GE(a().Reports(Kind::kJoin), 1u);
  EXPECT_EQ(a().reports.back().peer, kB);
  EXPECT_EQ(a().reports.back().epoch, 2u);
}

// A log's answer is bounded in bytes; small records would make it more of them
// than one message may hold.
TEST_F(ReplicaMembershipTest, Rule3_1_LearnerFarBehindIsSentWholeMessages) {
  for (uint32_t i = 0; i < kPeerRecordsMax; ++i) Push(a(), "small");
  wiring_.Settle();
  MakeLearner();
  AnswerRead();
  wiring_.Settle();
  EXPECT_EQ(b().AppliedPayloads().size(), kPeerRecordsMax);
  EXPECT_EQ(a().reads.back().second, kPeerRecordsMax + 1u);
  AnswerRead();
  wiring_.Settle();
  EXPECT_EQ(b().AppliedPayloads().size(), kPeerRecordsMax + 3u);
  EXPECT_GE(a().Reports(Kind::kJoin), 1u);
}

// From before the question until the answer is known, both sets are needed.
TEST_F(ReplicaMembershipTest, Rule3_1_JoinerIsNeededBeforeItIsInSync) {
  MakeLearner();
  AnswerRead();
  wiring_.Settle();
  const Lsn lsn = Push(a(), "3rd");
  a().FlushLog();
  EXPECT_LT(a().replica.committed(), lsn);
  EXPECT_EQ(a().replica.replicas(), 1u);
  wiring_.Settle();
  EXPECT_EQ(a().replica.committed(), lsn);
  wiring_.Configure(Config(3, 1, kA.server, {kA, kB}));
  wiring_.Settle();
  EXPECT_EQ(a().replica.replicas(), 2u);
  EXPECT_EQ(b().replica.role(), Role::kBackup);
}

// The disk may take long over an answer that nobody needs any more.
TEST_F(ReplicaMembershipTest, NobodyWaitsForAReadOfWhatIsAcknowledged) {
  MakeLearner();
  AnswerRead();
  wiring_.Deliver(kA);  // B has the records, and has yet to store them
  const size_t reads = a().reads.size();
  a().replica.Tick(wiring_.now() + absl::Milliseconds(kPeerResendMs + 1));
  ASSERT_EQ(a().reads.size(), reads + 1);  // to send them again
  wiring_.Settle();
  ASSERT_GE(a().Reports(Kind::kJoin), 1u);
  const Lsn lsn = Push(a(), "3rd");
  wiring_.Settle();
  EXPECT_EQ(a().replica.committed(), lsn);
  AnswerRead();  // of no use to anybody
  wiring_.Pass(absl::Milliseconds(60));
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("", "1st", "2nd", "3rd"));
}

TEST_F(ReplicaMembershipTest, Rule3_1_LearnerBehindCommitIsNotNeeded) {
  MakeLearner();
  const Lsn lsn = Push(a(), "3rd");
  a().FlushLog();
  EXPECT_EQ(a().replica.committed(), lsn);
}

TEST_F(ReplicaMembershipTest, Rule4_5_LearnerThatIsNotWholeDoesNotJoin) {
  b().whole = false;
  MakeLearner();
  AnswerRead();
  wiring_.Settle();
  EXPECT_EQ(b().applied.size(), 3u);
  EXPECT_EQ(a().Reports(Kind::kJoin), 0u);
  b().whole = true;
  wiring_.Pass(absl::Milliseconds(100));
  EXPECT_GE(a().Reports(Kind::kJoin), 1u);
}

TEST_F(ReplicaMembershipTest, LogThatIsCutMakesACheckpoint) {
  MakeLearner();
  a().replica.OnLogCut(kB, wiring_.now());
  EXPECT_THAT(a().checkpoints, ElementsAre(kB));
  const LogPosition at = a().replica.applied_position();
  b().sum = a().sum;
  b().replica.OnCheckpointInstalled(at, wiring_.now());
  EXPECT_EQ(b().replica.applied(), at.lsn);
  EXPECT_EQ(static_cast<RecordKind>(b().log.back().first.header.kind),
            RecordKind::kRestart);
  a().replica.OnCheckpointSent(kB, at.lsn, wiring_.now());
  Push(a(), "3rd");
  wiring_.Settle();
  wiring_.Pass(absl::Milliseconds(100));
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("3rd"));
  EXPECT_GE(a().Reports(Kind::kJoin), 1u);
}

TEST_F(ReplicaMembershipTest, CheckpointThatFailsIsSentAgain) {
  MakeLearner();
  a().replica.OnLogCut(kB, wiring_.now());
  a().replica.OnCheckpointFailed(kB, wiring_.now());
  const size_t reads = a().reads.size();
  wiring_.Pass(absl::Milliseconds(100));
  EXPECT_GT(a().reads.size(), reads);
}

class ReplicaDropTest : public ::testing::Test {
 protected:
  ReplicaDropTest() {
    for (const ReplicaId& id : {kA, kB}) wiring_.Add(id);
    wiring_.Configure(Config(1, 1, kA.server, {kA, kB}));
    wiring_.Settle();
  }
  Node& a() { return wiring_[kA]; }

  // A alone lives on.
  void PassWithoutB(absl::Duration time) {
    for (int i = 0; i < time / absl::Milliseconds(5); ++i) {
      now_ += absl::Milliseconds(5);
      a().now = now_;
      a().replica.Tick(now_);
      a().FlushLog();
      a().outbox.clear();
    }
  }

  Wiring wiring_;
  absl::Duration now_ = absl::Seconds(200);
};

TEST_F(ReplicaDropTest, Rule3_6_SilentBackupIsReported) {
  a().replica.Tick(now_);
  PassWithoutB(absl::Milliseconds(250));
  EXPECT_EQ(a().Reports(Kind::kDrop), 0u);
  PassWithoutB(absl::Milliseconds(100));
  ASSERT_GE(a().Reports(Kind::kDrop), 1u);
  EXPECT_EQ(a().reports.back().peer, kB);
}

TEST_F(ReplicaDropTest, OwnPauseIsNotItsBackupsSilence) {
  a().replica.Tick(now_);
  now_ += absl::Seconds(10);
  a().replica.Tick(now_);
  EXPECT_EQ(a().Reports(Kind::kDrop), 0u);
}

TEST_F(ReplicaDropTest, Rule3_1_SmallerSetOnlyWhenItIsSeen) {
  const Lsn lsn = Push(a(), "x");
  PassWithoutB(absl::Milliseconds(500));
  ASSERT_GE(a().Reports(Kind::kDrop), 1u);
  EXPECT_LT(a().replica.committed(), lsn);
  // B might be out of the store's set by now.
  EXPECT_EQ(a().replica.replicas(), 1u);
  a().replica.Configure(Config(2, 1, kA.server, {kA}), now_);
  EXPECT_LT(a().replica.committed(), lsn);  // its promise is not durable
  a().SavePromises();
  EXPECT_EQ(a().replica.committed(), lsn);
}

TEST_F(ReplicaDropTest, Rule3_6_BackupThatCannotStoreAsksToLeave) {
  wiring_[kB].replica.Leave();
  wiring_.Pass(absl::Milliseconds(100));
  EXPECT_GE(a().Reports(Kind::kDrop), 1u);
}

}  // namespace
}  // namespace paramo
