// Rule 3.10: a shard that goes on in another history.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/replication/replication_testing.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

constexpr HistoryId kNext = 6;

ShardConfig InNext(ShardConfig config, const ReplicaId& base) {
  config.history = kNext;
  config.base = base;
  return config;
}

// A leads B; C is a learner that has "1st" and lacks "2nd".
class ReplicaHistoryTest : public ::testing::Test {
 protected:
  ReplicaHistoryTest() {
    for (const ReplicaId& id : {kA, kB, kC}) wiring_.Add(id);
    wiring_.Configure(Config(1, 1, kA.server, {kA, kB}, {kC}));
    wiring_.Settle();
    Push(a(), "1st");
    wiring_.Settle();
    wiring_.Pass(absl::Milliseconds(20));
    ShardConfig alone = Config(2, 1, kA.server, {kA, kB});
    for (Node* node : {&a(), &b()}) node->replica.Configure(alone, now());
    wiring_.Settle();
    Push(a(), "2nd");
    wiring_.Settle();
    wiring_.Pass(absl::Milliseconds(20));
  }
  Node& a() { return wiring_[kA]; }
  Node& b() { return wiring_[kB]; }
  Node& c() { return wiring_[kC]; }
  absl::Duration now() { return wiring_.now(); }

  // C takes over with what it has.
  void Promote() {
    c().replica.Configure(InNext(Config(3, 3, kC.server, {kC}), kC), now());
    c().SavePromises();
    c().FlushLog();
  }

  Wiring wiring_;
};

TEST_F(ReplicaHistoryTest, Rule3_10_TheBaseGoesOnFromTheEndOfItsLog) {
  const Lsn last = c().replica.last();
  Promote();
  EXPECT_EQ(c().replica.serving(), Serving::kAll);
  EXPECT_EQ(c().void_told, 0);
  const RecordHeader& first = c().log.back().first.header;
  EXPECT_EQ(first.lsn, last + 1);
  EXPECT_EQ(first.history, kNext);
  EXPECT_EQ(c().log.back().second, Durability::kSynced);
  EXPECT_THAT(c().AppliedPayloads(), ElementsAre("", "1st", ""));
}

// The state may have changes of records that the log has lost: a later record
// of the same lsn would be taken for one of those.
TEST_F(ReplicaHistoryTest, Rule3_10_ItsRecordsAreAboveEveryChange) {
  c().newest_change = 9;
  Promote();
  EXPECT_EQ(c().replica.last(), 9u);
  EXPECT_EQ(c().replica.serving(), Serving::kAll);
  EXPECT_EQ(Push(c(), "new"), 10u);
}

TEST_F(ReplicaHistoryTest, Rule3_10_WhoIsNotNamedStopsAndKeepsWhatItHas) {
  const ShardConfig config = InNext(Config(3, 3, kC.server, {kC}), kC);
  a().replica.Configure(config, now());
  a().SavePromises();
  EXPECT_EQ(a().replica.serving(), Serving::kNothing);
  EXPECT_EQ(a().void_told, 0);
  EXPECT_EQ(a().replica.last(), 3u);
  // So that it may be chosen yet.
  a().replica.Configure(
      [&] {
        ShardConfig next = InNext(Config(4, 4, kA.server, {kA}), kA);
        next.history = kNext + 1;
        return next;
      }(),
      now());
  a().SavePromises();
  a().FlushLog();
  EXPECT_EQ(a().replica.serving(), Serving::kAll);
  EXPECT_EQ(a().log.back().first.header.history, kNext + 1);
}

TEST_F(ReplicaHistoryTest, Rule3_10_ALearnerOfAnotherHistoryBeginsAnew) {
  const ShardConfig config = InNext(Config(4, 3, kC.server, {kC}, {kB}), kC);
  b().replica.Configure(config, now());
  EXPECT_EQ(b().void_told, 1);
  EXPECT_TRUE(b().saving.empty());  // nothing is promised before
  EXPECT_FALSE(b().stopped);
  // Nothing more comes of it.
  EXPECT_EQ(b().replica.role(), Role::kNone);
  b().outbox.clear();
  Push(a(), "3rd");
  a().FlushLog();
  wiring_.Deliver(kA);
  EXPECT_EQ(b().replica.last(), 3u);
}

TEST_F(ReplicaHistoryTest, Rule3_10_AHistoryThatBeginsEmptyVoidsItsPrimary) {
  a().replica.Configure(InNext(Config(3, 3, kA.server, {kA}), ReplicaId{}),
                        now());
  EXPECT_EQ(a().replica.serving(), Serving::kNothing);
  EXPECT_EQ(a().void_told, 1);
}

// A is cut off from the coordinator and serves on; C once followed it.
TEST_F(ReplicaHistoryTest, Rule3_10_ANewerHistoryEndsAnOldPrimary) {
  Promote();
  c().outbox.clear();
  PeerMessage message;
  message.shard = 7;
  message.history = 5;
  message.epoch = 2;
  message.term = 1;
  EXPECT_EQ(c().replica.OnMessage(kA, message, now()), PeerVerdict::kNotHeld);
  EXPECT_EQ(a().replica.serving(), Serving::kAll);
  wiring_.Deliver(kC);
  EXPECT_EQ(a().replica.serving(), Serving::kNothing);
}

// The records before the history's first one are not sent: a new replica gets
// the state that they led to.
TEST_F(ReplicaHistoryTest, Rule3_10_RecordsOfTheOldHistoryAreNoPeers) {
  Promote();
  const ReplicaId anew = {4, 44};
  Node& d = wiring_.Add(anew);
  const ShardConfig config = InNext(Config(4, 3, kC.server, {kC}, {anew}), kC);
  for (Node* node : {&c(), &d}) node->replica.Configure(config, now());
  wiring_.Settle();
  ASSERT_FALSE(c().reads.empty());
  c().replica.OnLogRead(anew, {c().log.front().first}, now());
  ASSERT_THAT(c().checkpoints, ElementsAre(anew));
  EXPECT_EQ(d.replica.last(), 0u);
  d.replica.OnCheckpointInstalled(c().replica.applied_position(), now());
  c().replica.OnCheckpointSent(anew, c().replica.applied(), now());
  Push(c(), "new");
  wiring_.Settle();
  wiring_.Pass(absl::Milliseconds(40));
  EXPECT_GE(c().Reports(ReplicaReport::Kind::kJoin), 1u);
  EXPECT_EQ(d.replica.last(), c().replica.last());
  EXPECT_THAT(d.AppliedPayloads(), ElementsAre("new"));
}

// The no-op is not in the log that the base finds again: it begins once more.
TEST(ReplicaHistoryRestartTest, Rule3_10_ABaseThatRestartsBeginsOnceMore) {
  Node node(kA);
  RestoredReplica restored;
  restored.history = 5;
  restored.promise = {3, 3, kA.server};
  node.replica.Restore(std::move(restored));
  node.replica.Configure(InNext(Config(3, 3, kA.server, {kA}), kA), node.now);
  EXPECT_EQ(node.Reports(ReplicaReport::Kind::kTakeAgain), 1u);
  node.replica.Configure(InNext(Fencing(4, 3, {kA}), kA), node.now);
  node.SavePromises();
  ASSERT_EQ(node.Reports(ReplicaReport::Kind::kFenced), 1u);
  node.replica.Configure(InNext(Config(5, 5, kA.server, {kA}), kA), node.now);
  node.SavePromises();
  node.FlushLog();
  EXPECT_EQ(node.replica.serving(), Serving::kAll);
  EXPECT_EQ(node.log.back().first.header.history, kNext);
}

}  // namespace
}  // namespace paramo
