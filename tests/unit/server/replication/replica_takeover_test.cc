// Promises, fences, takeovers, and what the log of a follower goes through.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/replication/replication_testing.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

class ReplicaTakeoverTest : public ::testing::Test {
 protected:
  ReplicaTakeoverTest() {
    for (const ReplicaId& id : {kA, kB, kC}) wiring_.Add(id);
    wiring_.Configure(Config(1, 1, kA.server, {kA, kB, kC}));
    wiring_.Settle();
    Push(a(), "1st");
    wiring_.Settle();
    wiring_.Pass(absl::Milliseconds(20));
  }
  Node& a() { return wiring_[kA]; }
  Node& b() { return wiring_[kB]; }
  Node& c() { return wiring_[kC]; }

  Wiring wiring_;
};

TEST_F(ReplicaTakeoverTest, Rule3_5_FenceIsAnsweredWhenThePromiseIsDurable) {
  b().replica.Configure(Fencing(2, 1, {kA, kB, kC}), wiring_.now());
  EXPECT_EQ(b().Reports(ReplicaReport::Kind::kFenced), 0u);
  b().SavePromises();
  ASSERT_EQ(b().Reports(ReplicaReport::Kind::kFenced), 1u);
  EXPECT_EQ(b().reports.back().epoch, 2u);
  EXPECT_EQ(b().reports.back().last_lsn, 2u);
  EXPECT_EQ(b().reports.back().last_epoch, 1u);
}

TEST_F(ReplicaTakeoverTest, Rule3_5_EqualEpochWithAnotherPrimaryIsRefused) {
  b().replica.Configure(Config(3, 3, kA.server, {kA, kB}), wiring_.now());
  b().SavePromises();
  b().replica.Configure(Config(3, 3, kB.server, {kA, kB}), wiring_.now());
  b().SavePromises();
  EXPECT_EQ(b().replica.role(), Role::kBackup);
  EXPECT_EQ(b().replica.config().primary, kA.server);
}

TEST_F(ReplicaTakeoverTest, Rule3_7_AFencedPrimaryStopsServingAtOnce) {
  a().replica.Configure(Fencing(2, 1, {kA, kB, kC}), wiring_.now());
  EXPECT_EQ(a().replica.serving(), Serving::kNothing);
  EXPECT_EQ(a().servings.back(), Serving::kNothing);
}

TEST_F(ReplicaTakeoverTest, Rule3_3_OldEpochIsRefusedAndEndsThePrimary) {
  const Lsn lsn = Push(a(), "late");
  a().FlushLog();
  for (Node* node : {&b(), &c()}) {
    node->replica.Configure(Fencing(2, 1, {kA, kB, kC}), wiring_.now());
    node->SavePromises();
  }
  wiring_.Deliver(kA);
  EXPECT_EQ(b().replica.last(), lsn - 1);  // not taken
  wiring_.Deliver(kB);
  EXPECT_EQ(a().replica.serving(), Serving::kNothing);
  EXPECT_LT(a().replica.committed(), lsn);
}

// B's log alone has "tail" when A dies. B takes over with C: nothing is served
// before C has it too.
TEST_F(ReplicaTakeoverTest, Rule3_2_ServesWhenTheTailIsCommitted) {
  Push(a(), "tail");
  auto outbox = a().outbox;
  a().outbox.clear();
  for (auto& [to, message] : outbox) {
    if (to == kB) b().replica.OnMessage(kA, message, wiring_.now());
  }
  b().FlushLog();
  b().outbox.clear();
  for (Node* node : {&b(), &c()}) {
    node->replica.Configure(Fencing(2, 1, {kA, kB, kC}), wiring_.now());
    node->SavePromises();
    node->replica.Configure(Config(3, 3, kB.server, {kB, kC}), wiring_.now());
    node->SavePromises();
    node->FlushLog();
  }
  EXPECT_EQ(b().replica.role(), Role::kTakingOver);
  EXPECT_EQ(b().replica.serving(), Serving::kNothing);
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("", "1st"));
  wiring_.Settle();
  EXPECT_EQ(b().replica.role(), Role::kPrimary);
  EXPECT_EQ(b().servings.back(), Serving::kAll);
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("", "1st", "tail", ""));
  wiring_.Pass(absl::Milliseconds(20));
  EXPECT_EQ(c().AppliedPayloads(), b().AppliedPayloads());
}

// An orderly transfer: the primary is another one from one configuration to the
// next. B's promise ends the term; A, which has not heard of it, appends on.
TEST_F(ReplicaTakeoverTest,
       Rule3_2_ATransferEndsTheTermByItsSuccessorsPromise) {
  const Lsn kept = Push(a(), "kept");
  wiring_.Settle();
  ASSERT_EQ(a().replica.committed(), kept);
  for (Node* node : {&b(), &c()}) {
    node->replica.Configure(Config(2, 2, kB.server, {kA, kB, kC}),
                            wiring_.now());
  }
  const Lsn late = Push(a(), "late");  // while B's promise is being saved
  a().FlushLog();
  wiring_.Deliver(kA);
  EXPECT_EQ(b().replica.last(), kept);
  wiring_.Settle();
  EXPECT_LT(a().replica.committed(), late);
  EXPECT_EQ(b().replica.role(), Role::kTakingOver);  // A is needed, too
  a().replica.Configure(Config(2, 2, kB.server, {kA, kB, kC}), wiring_.now());
  EXPECT_EQ(a().replica.serving(), Serving::kNothing);
  wiring_.Settle();
  wiring_.Pass(absl::Milliseconds(20));
  EXPECT_EQ(b().servings.back(), Serving::kAll);
  EXPECT_THAT(b().AppliedPayloads(), ElementsAre("", "1st", "kept", ""));
  for (Node* node : {&a(), &c()}) {
    EXPECT_EQ(node->replica.role(), Role::kBackup);
    EXPECT_EQ(node->AppliedPayloads(), b().AppliedPayloads());
  }
}

// A's log alone has "void" when it is cut off; B takes over; A comes back.
class ReplicaConflictTest : public ReplicaTakeoverTest {
 protected:
  void Depose() {
    Push(a(), "void");
    a().outbox.clear();
    for (Node* node : {&b(), &c()}) {
      node->replica.Configure(Config(3, 3, kB.server, {kB, kC}, {kA}),
                              wiring_.now());
    }
    for (int i = 0; i < 5; ++i) {
      for (const ReplicaId& id : {kB, kC}) {
        wiring_[id].SavePromises();
        wiring_[id].FlushLog();
        wiring_.Deliver(id);
      }
    }
    ASSERT_EQ(b().replica.role(), Role::kPrimary);
    a().outbox.clear();
    a().replica.Configure(Config(3, 3, kB.server, {kB, kC}, {kA}),
                          wiring_.now());
    a().SavePromises();
  }
};

TEST_F(ReplicaConflictTest, Rule3_3_ConflictAboveCommitIsCutAndLogged) {
  Depose();
  wiring_.Settle();
  wiring_.Pass(absl::Milliseconds(100));
  EXPECT_THAT(a().truncated, ElementsAre(2u));
  EXPECT_THAT(a().AppliedPayloads(), ElementsAre("", "1st", ""));
  // The mark stands in the log before the record that takes the place.
  bool marked = false;
  for (const auto& [record, level] : a().log) {
    if (static_cast<RecordKind>(record.header.kind) == RecordKind::kTruncate) {
      marked = true;
      EXPECT_EQ(record.lsn(), 2u);
    }
    if (record.header.epoch == 3 && !IsMark(record.header)) {
      EXPECT_TRUE(marked);
    }
  }
  EXPECT_TRUE(marked);
}

TEST_F(ReplicaConflictTest, Rule3_3_ACutWaitsForAQuietLog) {
  Depose();
  // A's log has not reported "void" yet; its report must not be taken for one
  // of the record that comes in its place.
  wiring_.Deliver(kA);
  for (int i = 0; i < 4; ++i) {
    wiring_.Deliver(kB);
    wiring_.Deliver(kA);
  }
  EXPECT_TRUE(a().truncated.empty());
  EXPECT_EQ(a().replica.last(), 3u);
  a().FlushLog(Durability::kWritten);
  for (int i = 0; i < 30 && a().truncated.empty(); ++i) {
    wiring_.Pass(absl::Milliseconds(5));
  }
  EXPECT_THAT(a().truncated, ElementsAre(2u));
}

TEST_F(ReplicaTakeoverTest, Rule3_3_ConflictAtCommitStops) {
  PeerMessage message;
  message.shard = 7;
  message.history = 5;
  message.epoch = message.term = 1;
  message.position = 2;
  message.position_crc = 12345;  // not the crc32c of record 2 here
  b().replica.OnMessage(kA, message, wiring_.now());
  ASSERT_TRUE(b().stopped);
  EXPECT_EQ(b().stopped->code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(b().replica.committed(), 2u);  // and nothing was cut
}

TEST_F(ReplicaTakeoverTest, Rule3_4_AnotherIncarnationIsNotHeard) {
  const Lsn lsn = Push(a(), "x");
  a().FlushLog();
  wiring_.Deliver(kA);
  PeerMessage ack;
  ack.kind = PeerMessage::Kind::kAck;
  ack.shard = 7;
  ack.history = 5;
  ack.epoch = ack.term = 1;
  ack.position = lsn;
  a().replica.OnMessage({kB.server, kB.incarnation + 1}, ack, wiring_.now());
  a().replica.OnMessage({kC.server, kC.incarnation + 1}, ack, wiring_.now());
  EXPECT_LT(a().replica.committed(), lsn);
  a().replica.OnMessage(kB, ack, wiring_.now());
  a().replica.OnMessage(kC, ack, wiring_.now());
  EXPECT_EQ(a().replica.committed(), lsn);
}

TEST_F(ReplicaTakeoverTest, AcknowledgementsOfAnotherTermDoNotCount) {
  const Lsn lsn = Push(a(), "x");
  a().FlushLog();
  PeerMessage ack;
  ack.kind = PeerMessage::Kind::kAck;
  ack.shard = 7;
  ack.history = 5;
  ack.epoch = ack.term = 0;
  ack.position = lsn;
  a().replica.OnMessage(kB, ack, wiring_.now());
  a().replica.OnMessage(kC, ack, wiring_.now());
  EXPECT_LT(a().replica.committed(), lsn);
}

// B has "void" of term 1 and is not named when term 3 begins; named again in
// term 3, it must not pass "void" off as a record of that term.
TEST_F(ReplicaTakeoverTest, Rule3_3_NothingMatchesAcrossTermsUnseen) {
  const Lsn lsn = Push(a(), "void");
  wiring_.Deliver(kA);
  b().FlushLog();
  b().outbox.clear();
  b().replica.Configure(Config(3, 3, kC.server, {kC}), wiring_.now());
  b().SavePromises();
  EXPECT_EQ(b().replica.role(), Role::kNone);
  b().replica.Configure(Config(4, 3, kC.server, {kC}, {kB}), wiring_.now());
  b().SavePromises();
  ASSERT_FALSE(b().outbox.empty());
  EXPECT_EQ(b().outbox.back().first, kC);
  EXPECT_LT(b().outbox.back().second.position, lsn);
}

// What it appended before the restart may be lost here and known to others.
TEST(ReplicaRestartTest, Rule3_4_ARestartedPrimaryNeedsAnotherTerm) {
  Node node(kA);
  RestoredReplica restored;
  restored.history = 5;
  restored.promise = {1, 1, kA.server};
  node.replica.Restore(std::move(restored));
  node.replica.Configure(Config(1, 1, kA.server, {kA, kB}), node.now);
  EXPECT_EQ(node.replica.role(), Role::kFenced);
  EXPECT_EQ(node.Reports(ReplicaReport::Kind::kTakeAgain), 1u);
  node.replica.Configure(Fencing(2, 1, {kA, kB}), node.now);
  node.SavePromises();
  node.replica.Configure(Config(3, 3, kA.server, {kA}), node.now);
  node.SavePromises();
  node.FlushLog();
  EXPECT_EQ(node.replica.role(), Role::kPrimary);
}

TEST(ReplicaRestartTest, Rule3_5_AnOlderConfigurationIsRefusedAfterARestart) {
  Node node(kB);
  RestoredReplica restored;
  restored.history = 5;
  restored.promise = {4, 1, 0};
  node.replica.Restore(std::move(restored));
  node.replica.Configure(Config(3, 1, kA.server, {kA, kB}), node.now);
  node.SavePromises();
  EXPECT_EQ(node.replica.role(), Role::kNone);
}

// A join or a shrink disturbs nothing: no takeover, and messages of the epoch
// before are heard.
TEST_F(ReplicaTakeoverTest, SamePrimaryGoesOnServing) {
  const size_t servings = a().servings.size();
  const Lsn lsn = Push(a(), "x");
  wiring_.Configure(Config(2, 1, kA.server, {kA, kB}));
  b().SavePromises();  // B is ahead of its primary
  wiring_.Settle();
  EXPECT_EQ(a().replica.committed(), lsn);
  EXPECT_EQ(a().servings.size(), servings);
  Push(a(), "y");
  EXPECT_EQ(a().log.back().first.header.epoch, 2u);
}

}  // namespace
}  // namespace paramo
