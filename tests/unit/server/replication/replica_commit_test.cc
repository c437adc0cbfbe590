// From append to commit: who must have a record, and when it counts as had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/replication/replication_testing.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

class ReplicaCommitTest : public ::testing::Test {
 protected:
  // A leads {A, B}; its no-op, lsn 1, is committed.
  void Lead(uint32_t min_insync = 1) {
    wiring_.Add(kA);
    wiring_.Add(kB);
    ShardConfig config = Config(1, 1, kA.server, {kA, kB});
    config.min_insync = min_insync;
    wiring_.Configure(config);
    wiring_.Settle();
    ASSERT_EQ(a().replica.role(), Role::kPrimary);
    ASSERT_EQ(b().replica.role(), Role::kBackup);
  }
  Node& a() { return wiring_[kA]; }
  Node& b() { return wiring_[kB]; }

  Wiring wiring_;
};

TEST_F(ReplicaCommitTest, AloneCommitsWhenItsLogHasTheRecord) {
  Node& node = wiring_.Add(kA);
  wiring_.Configure(Config(1, 1, kA.server, {kA}));
  wiring_.Settle();
  EXPECT_EQ(Push(node, "x"), 2u);
  EXPECT_EQ(node.replica.committed(), 1u);
  node.FlushLog(Durability::kWritten);
  EXPECT_EQ(node.AppliedPayloads(), (std::vector<std::string>{"", "x"}));
  EXPECT_EQ(node.replica.replicas(), 1u);
}

TEST_F(ReplicaCommitTest, AloneInMemoryCommitsWithinAppend) {
  Node& node = wiring_.Add(kA);
  wiring_.Configure(Config(1, 1, kA.server, {kA}));
  wiring_.Settle();
  Push(node, "x", Durability::kMemory);
  EXPECT_EQ(node.applied.size(), 2u);
}

TEST_F(ReplicaCommitTest, Rule3_1_EveryMemberMustHaveIt) {
  Lead();
  const Lsn lsn = Push(a(), "x");
  a().FlushLog();
  EXPECT_LT(a().replica.committed(), lsn);  // B has nothing
  wiring_.Deliver(kA);
  wiring_.Deliver(kB);
  EXPECT_LT(a().replica.committed(), lsn);  // B's log has nothing
  b().FlushLog(Durability::kWritten);
  wiring_.Deliver(kB);
  EXPECT_EQ(a().replica.committed(), lsn);
  EXPECT_EQ(a().replica.replicas(), 2u);
}

TEST_F(ReplicaCommitTest, Rule2_6_BackupAppliesOnlyWhatIsCommitted) {
  Lead();
  Push(a(), "x");
  wiring_.Deliver(kA);
  b().FlushLog();
  EXPECT_EQ(b().applied.size(), b().replica.committed());
  const size_t before = b().applied.size();
  EXPECT_EQ(b().replica.last(), 2u);
  EXPECT_LE(before, 1u);
  wiring_.Pass(absl::Milliseconds(20));  // the commit point comes by itself
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("", "x"));
}

TEST_F(ReplicaCommitTest, SyncedCountsOnlyWhenSynced) {
  Lead();
  const Lsn lsn = Push(a(), "x", Durability::kSynced);
  a().FlushLog();
  wiring_.Deliver(kA);
  b().FlushLog(Durability::kWritten);
  wiring_.Deliver(kB);
  EXPECT_LT(a().replica.committed(), lsn);
  b().FlushLog(Durability::kSynced);
  wiring_.Deliver(kB);
  EXPECT_EQ(a().replica.committed(), lsn);
}

TEST_F(ReplicaCommitTest, AppendFromWithinApplyKeepsTheOrder) {
  Lead();
  for (int i = 0; i < 10; ++i) Push(a(), std::to_string(i));
  wiring_.Settle();
  wiring_.Pass(absl::Milliseconds(20));
  EXPECT_EQ(a().AppliedPayloads(), b().AppliedPayloads());
  EXPECT_EQ(a().applied.size(), 11u);
}

TEST_F(ReplicaCommitTest, LostRecordsAreSentAgain) {
  Lead();
  Push(a(), "lost");
  a().outbox.clear();
  Push(a(), "seen");
  wiring_.Settle();
  wiring_.Pass(absl::Milliseconds(30));
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("", "lost", "seen"));
}

TEST_F(ReplicaCommitTest, DoubledAndLateRecordsAreHarmless) {
  Lead();
  Push(a(), "x");
  auto copy = a().outbox;
  wiring_.Settle();
  Push(a(), "y");
  wiring_.Settle();
  for (auto& [to, message] : copy) {
    b().replica.OnMessage(kA, message, wiring_.now());
  }
  wiring_.Pass(absl::Milliseconds(20));
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("", "x", "y"));
  EXPECT_FALSE(b().stopped);
}

TEST_F(ReplicaCommitTest, TailIsBounded) {
  Node& node = wiring_.Add(kA, /*tail_bytes_max=*/1000);
  wiring_.Add(kB);
  wiring_.Configure(Config(1, 1, kA.server, {kA, kB}));
  wiring_.Settle();
  EXPECT_TRUE(node.replica.HasRoom(900));
  Push(node, std::string(600, 'x'));
  EXPECT_FALSE(node.replica.HasRoom(600));
  wiring_.Settle();  // committed: there is room again
  EXPECT_TRUE(node.replica.HasRoom(900));
}

TEST_F(ReplicaCommitTest, Rule3_2_PullsOnlyBelowMinInsync) {
  Lead(/*min_insync=*/2);
  EXPECT_EQ(a().replica.serving(), Serving::kAll);
  ShardConfig shrunk = Config(2, 1, kA.server, {kA});
  shrunk.min_insync = 2;
  wiring_.Configure(shrunk);
  wiring_.Settle();
  EXPECT_EQ(a().replica.serving(), Serving::kPulls);
  EXPECT_EQ(b().replica.role(), Role::kNone);
}

TEST_F(ReplicaCommitTest, Rule4_5_ReplicaThatDiffersStops) {
  Lead();
  Push(a(), "x");
  wiring_.Settle();
  wiring_.Pass(absl::Milliseconds(1100));
  EXPECT_FALSE(b().stopped);
  b().sum ^= 1;
  wiring_.Pass(absl::Milliseconds(1100));
  ASSERT_TRUE(b().stopped);
  EXPECT_EQ(b().stopped->code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(b().replica.role(), Role::kStopped);
  EXPECT_GE(b().Reports(ReplicaReport::Kind::kStopped), 1u);
  // Its primary asks to drop it.
  EXPECT_GE(a().Reports(ReplicaReport::Kind::kDrop), 1u);
}

TEST_F(ReplicaCommitTest, ReplicaWhoseStateIsNotWholeIsNotCompared) {
  Lead();
  b().sum ^= 1;
  b().whole = false;
  wiring_.Pass(absl::Milliseconds(2500));
  EXPECT_FALSE(b().stopped);
}

}  // namespace
}  // namespace paramo
