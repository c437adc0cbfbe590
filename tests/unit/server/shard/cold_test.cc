// A shard whose table has a memory budget: rows leave for the store and come
// back, and nobody can tell but by the time that it takes.
#include <cmath>

#include <gmock/gmock.h>

#include "common/base/random.h"
#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using wire::Outcome;
using Sent = std::unique_ptr<ShardHarness::Sent>;

constexpr size_t kRowBytes = 48;  // of dim 3, sgd

void SetBudget(ShardHarness& h, size_t rows) {
  h.SetTable([&](v1::TableSpec& spec) {
    spec.set_memory_budget(rows * kRowBytes * kShardCount);
  });
}

// One replica, whose table may have one row in memory.
class ColdTest : public ::testing::Test {
 protected:
  explicit ColdTest(SyncKind sync = SyncKind::kAsync, bool serves = true)
      : h_(sync) {
    SetBudget(h_, 1);
    if (serves) h_.Apply();
  }

  // Pushed to, stored, and evicted but for the last one. Every value is -1.
  void MakeCold(const std::vector<Key>& keys) {
    h_.Push(h_.Header(), keys, std::vector<float>(keys.size() * kDim, 1));
    h_.Flush();
    EXPECT_LE(Resident(), 1u);
  }
  uint64_t Resident() { return h_.shard().Report().resident_rows; }
  bool InMemory(Key key) {
    return h_.shard().table(kTable)->Find(key) != nullptr;
  }
  size_t Records() { return h_.port().log().size(); }
  wire::SectionHeader Numbered(SeqNo seq, SessionId session = 100) {
    wire::SectionHeader header = h_.Header();
    header.session = session;
    header.session_epoch = 1;
    header.seq = seq;
    return header;
  }
  Sent PushTo(const std::vector<Key>& keys, float grad) {
    return h_.Push(h_.Header(), keys,
                   std::vector<float>(keys.size() * kDim, grad));
  }

  ShardHarness h_;
  std::vector<Key> keys_ = KeysOf(2, 10);
};

// ---- Rule 2.6 ---------------------------------------------------------------

TEST_F(ColdTest, Rule2_6_RowsAreFetchedBeforeThePushIsAppended) {
  MakeCold(keys_);
  h_.port().HoldFetches();
  const size_t records = Records();
  auto push = PushTo({keys_[0], keys_[1], keys_[9]}, 2);
  EXPECT_EQ(push->times_done, 0);
  EXPECT_EQ(Records(), records);
  h_.port().GoFetches();
  EXPECT_EQ(push->outcome(), Outcome::kApplied);
  EXPECT_EQ(Records(), records + 1);  // one push, one lsn
  EXPECT_THAT(h_.Pull(h_.Header(), {keys_[0], keys_[1], keys_[9]})->rows_out,
              Each(-3));
}

TEST_F(ColdTest, Rule2_6_RowsArePinnedUntilThePushIsApplied) {
  MakeCold(keys_);
  h_.port().Hold();
  auto push = PushTo({keys_[0], keys_[1]}, 2);
  EXPECT_EQ(push->times_done, 0);
  // Another takes its turn, whose rows are free to go after it.
  h_.Row(keys_[2]);
  h_.Row(keys_[3]);
  EXPECT_TRUE(InMemory(keys_[0]) && InMemory(keys_[1]));
  EXPECT_FALSE(InMemory(keys_[2]));
  const int fetches = h_.port().fetches();
  h_.port().Go();
  EXPECT_EQ(push->outcome(), Outcome::kApplied);
  EXPECT_EQ(h_.port().fetches(), fetches);
}

// Its row is made by another push, stored and evicted while it waits for the
// log.
TEST_F(ColdTest, Rule2_6_ARowThatWasMissingMayBeColdWhenThePushIsApplied) {
  h_.port().Hold();
  auto first = PushTo({keys_[0], keys_[1]}, 1);
  auto third = PushTo({keys_[0], keys_[1]}, 2);
  h_.port().TellAllBut(1);
  h_.Flush();
  h_.port().HoldFetches();
  ASSERT_LE(Resident(), 1u);
  h_.port().Go();
  EXPECT_EQ(third->times_done, 0);
  h_.port().GoFetches();
  EXPECT_EQ(third->outcome(), Outcome::kApplied);
  EXPECT_THAT(h_.Row(keys_[0]), Each(-3));
  EXPECT_THAT(h_.Row(keys_[1]), Each(-3));
}

TEST_F(ColdTest, Rule2_6_LaterPushesOfTheSessionQueueBehind) {
  MakeCold(keys_);
  h_.port().HoldFetches();
  const Key warm = keys_[9];
  ASSERT_TRUE(InMemory(warm));
  auto first = h_.Push(Numbered(1), {keys_[0]}, {1, 1, 1});
  auto second = h_.Push(Numbered(2), {warm}, {1, 1, 1});
  auto other = h_.Push(Numbered(1, 101), {warm}, {1, 1, 1});
  EXPECT_TRUE(other->done());  // of another session
  EXPECT_EQ(first->times_done + second->times_done, 0);
  h_.port().GoFetches();
  EXPECT_EQ(first->outcome(), Outcome::kApplied);
  EXPECT_EQ(second->outcome(), Outcome::kApplied);
  EXPECT_LT(first->reply.header.lsn, second->reply.header.lsn);
}

// A backup of server 2, which is another harness.
class ColdBackupTest : public ColdTest {
 protected:
  ColdBackupTest() : ColdTest(SyncKind::kAsync, /*serves=*/false) {
    ShardConfig& config = h_.view().shards[2].config;
    config.primary = 2;
    config.in_sync = {{2, 92}, kSelf};
    h_.Apply();
    SetBudget(primary_, 1);  // nothing of it is stored, so all stays
    primary_.Apply();
  }
  // Everything that the primary has and the backup was not sent yet.
  void Send(bool committed = true) {
    const std::vector<Record>& log = primary_.port().log();
    PeerMessage message;
    message.shard = 2;
    message.history = 7;
    const ShardConfig& config = h_.view().shards[2].config;
    message.epoch = config.epoch;
    message.term = config.term;
    message.position = sent_;
    message.position_crc = sent_ == 0 ? 0 : log[sent_ - 1].header.crc32c;
    message.committed = committed ? log.size() : sent_;
    for (; sent_ < log.size(); ++sent_) message.records.push_back({log[sent_]});
    h_.shard().Post([this, message] {
      h_.shard().WithReplica([&](Replica& replica, absl::Duration now) {
        verdict_ = replica.OnMessage({2, 92}, message, now);
      });
    });
    EXPECT_EQ(verdict_, PeerVerdict::kTaken);
  }
  void PushToPrimary(const std::vector<Key>& keys) {
    primary_.Push(primary_.Header(), keys,
                  std::vector<float>(keys.size() * kDim, 1));
  }
  Lsn Acknowledged() { return h_.port().sent().back().position; }
  uint64_t SumOf(ShardHarness& h) {
    return h.shard().table(kTable)->rolling_checksum();
  }

  ShardHarness primary_;
  size_t sent_ = 0;
  PeerVerdict verdict_ = PeerVerdict::kTaken;
};

TEST_F(ColdBackupTest,
       Rule2_6_ABackupAcknowledgesWithoutItsRowsAndAppliesInOrder) {
  PushToPrimary(keys_);
  Send();
  h_.Flush();
  ASSERT_LE(Resident(), 1u);
  const Lsn applied = h_.shard().Report().lsn;
  h_.port().HoldFetches();
  PushToPrimary({keys_[0], keys_[9]});
  PushToPrimary({keys_[9]});
  PushToPrimary({keys_[1]});
  Send();
  EXPECT_EQ(Acknowledged(), applied + 3);
  EXPECT_EQ(h_.shard().Report().lsn, applied);  // not even the warm row's
  EXPECT_NE(SumOf(h_), SumOf(primary_));
  h_.port().GoFetches();
  EXPECT_EQ(h_.shard().Report().lsn, applied + 3);
  EXPECT_EQ(SumOf(h_), SumOf(primary_));
}

TEST_F(ColdBackupTest, Rule2_6_ABackupPrefetchesOnReceipt) {
  PushToPrimary(keys_);
  Send();
  h_.Flush();
  PushToPrimary({keys_[0]});
  Send(/*committed=*/false);
  EXPECT_EQ(h_.port().fetches(), 1);
  EXPECT_EQ(Acknowledged(), h_.shard().Report().lsn + 1);
}

TEST_F(ColdBackupTest, Rule2_6_AFetchErrorOnACommittedRecordStopsTheReplica) {
  PushToPrimary(keys_);
  Send();
  h_.Flush();
  h_.stored_rows().erase(keys_[0]);
  PushToPrimary({keys_[0], keys_[9]});
  Send();
  EXPECT_EQ(h_.shard().replica().role(), Role::kStopped);
  EXPECT_EQ(h_.port().reports().back().kind, ReplicaReport::Kind::kStopped);
}

// ---- Pushes and pulls -------------------------------------------------------

TEST_F(ColdTest, WhatIsLostIsRefusedAndTheSessionGoesOn) {
  MakeCold(keys_);
  h_.stored_rows().erase(keys_[0]);
  auto push = h_.Push(Numbered(1), {keys_[0], keys_[1]}, {1, 1, 1, 1, 1, 1});
  EXPECT_EQ(push->code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(push->reason(), wire::Reason::kStore);
  EXPECT_THAT(push->reply.message, HasSubstr("row lost"));
  auto pull = h_.Pull(h_.Header(), {keys_[0]});
  EXPECT_EQ(pull->code(), absl::StatusCode::kDataLoss);
  // The same bytes again: the same answer. The next number: what it may do.
  auto again = h_.Push(Numbered(1), {keys_[0], keys_[1]}, {1, 1, 1, 1, 1, 1});
  EXPECT_EQ(again->code(), absl::StatusCode::kDataLoss);
  auto next = h_.Push(Numbered(2), {keys_[1]}, {4, 4, 4});
  EXPECT_EQ(next->outcome(), Outcome::kApplied);
  EXPECT_THAT(h_.Row(keys_[1]), Each(-5));
}

TEST_F(ColdTest, TwoPushesToOneRowFetchItOnce) {
  MakeCold(keys_);
  h_.port().HoldFetches();
  auto first = PushTo({keys_[0]}, 2);
  auto second = PushTo({keys_[0]}, 4);
  auto pull = h_.Pull(h_.Header(), {keys_[0]});
  h_.port().GoFetches();
  EXPECT_EQ(h_.port().fetches(), 1);
  EXPECT_TRUE(first->done() && second->done());
  EXPECT_THAT(pull->rows_out, Each(-1));  // as it was then
  EXPECT_THAT(h_.Row(keys_[0]), Each(-7));
}

TEST_F(ColdTest, WhatIsMissedDuringAFetchComesWithTheNext) {
  MakeCold(keys_);
  h_.port().HoldFetches();
  auto first = PushTo({keys_[0]}, 2);
  auto both = PushTo({keys_[0], keys_[1]}, 2);
  auto pull = h_.Pull(h_.Header(), {keys_[2], keys_[1]});
  h_.port().GoFetches();
  EXPECT_EQ(h_.port().fetches(), 2);
  EXPECT_TRUE(first->done() && both->done() && pull->done());
  EXPECT_THAT(pull->rows_out, Each(-1));
  EXPECT_THAT(h_.Row(keys_[1]), Each(-3));
}

TEST_F(ColdTest, KeysThatWereNeverPushedNeedNoStore) {
  MakeCold({keys_[0], keys_[1]});
  EXPECT_THAT(h_.Row(keys_[5]), Each(0));
  PushTo({keys_[6]}, 1);
  EXPECT_THAT(h_.Row(keys_[6]), Each(-1));
  EXPECT_EQ(h_.port().fetches(), 0);
}

TEST_F(ColdTest, APullSeesThePushOfItsRequestThatWaitsForRows) {
  MakeCold(keys_);
  h_.port().HoldFetches();
  auto cold = h_.Push(Numbered(1), {keys_[0]}, {2, 2, 2});
  auto behind = h_.PushPull(Numbered(2), {keys_[9]}, {4, 4, 4});
  auto other =
      h_.PushPull(Numbered(1, 101), {keys_[0], keys_[1]}, {8, 8, 8, 8, 8, 8});
  EXPECT_EQ(behind.second->times_done + other.second->times_done, 0);
  h_.port().GoFetches();
  EXPECT_TRUE(cold->done() && behind.first->done() && other.first->done());
  ASSERT_TRUE(behind.second->done() && other.second->done());
  EXPECT_THAT(behind.second->rows_out, Each(-5));
  EXPECT_THAT(other.second->rows_out, ElementsAre(-11, -11, -11, -9, -9, -9));
}

TEST_F(ColdTest, WhoWaitsForRowsWaitsNoLongerThanItsDeadline) {
  MakeCold(keys_);
  h_.port().HoldFetches();
  auto pull = h_.Pull(h_.Header(), {keys_[0]}, absl::Milliseconds(50));
  EXPECT_EQ(h_.parked(), 1u);
  h_.Expire(absl::Milliseconds(40));
  EXPECT_EQ(pull->times_done, 0);
  h_.Expire(absl::Milliseconds(60));
  EXPECT_EQ(pull->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(h_.parked(), 0u);
  EXPECT_EQ(h_.counters().waiting_for_rows.Value(), 0);
  h_.port().GoFetches();
  EXPECT_THAT(h_.Row(keys_[0]), Each(-1));
}

// How long it may wait for the number before it is another matter.
TEST_F(ColdTest, APushThatWasHeldWaitsForItsRowsUntilItsDeadline) {
  MakeCold(keys_);
  auto second = h_.Push(Numbered(2), {keys_[0]}, {1, 1, 1});
  h_.port().HoldFetches();
  auto first = h_.Push(Numbered(1), {keys_[9]}, {1, 1, 1});
  EXPECT_EQ(h_.counters().waiting_for_rows.Value(), 1);
  h_.Expire(absl::Minutes(1));
  EXPECT_EQ(second->times_done, 0);
  h_.port().GoFetches();
  EXPECT_EQ(second->outcome(), Outcome::kApplied);
}

TEST_F(ColdTest, Rule2_9_AHigherEpochFailsWhatWaitsForRows) {
  MakeCold(keys_);
  h_.port().HoldFetches();
  auto pull = h_.Pull(h_.Header(), {keys_[0]});
  auto push = PushTo({keys_[0]}, 1);
  h_.NextTerm();
  h_.view().shards[2].config.primary = 9;
  h_.Apply();
  EXPECT_EQ(pull->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(push->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(h_.parked(), 0u);
  h_.port().GoFetches();
}

TEST_F(ColdTest, RowsThatAreNotStoredYetBoundWhatMayCome) {
  SetBudget(h_, 10);
  h_.Apply();
  const std::vector<Key> many = KeysOf(2, 23'000);  // 1 MiB and more
  EXPECT_EQ(PushTo(many, 1)->outcome(), Outcome::kApplied);
  EXPECT_TRUE(h_.shard().WantsFlush());
  auto refused = PushTo({keys_[0]}, 1);
  EXPECT_EQ(refused->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(refused->reply.header.retry_after_ms, 0u);
  ShardFlush flush;
  h_.shard().Collect(many.size(),
                     [&](ShardFlush taken) { flush = std::move(taken); });
  EXPECT_EQ(flush.rows.size(), many.size());
  h_.shard().Flushed(flush, absl::OkStatus());
  EXPECT_FALSE(h_.shard().WantsFlush());
  EXPECT_LE(Resident(), 10u);
  const Key other = KeysOf(2, 23'001).back();
  EXPECT_EQ(PushTo({other}, 1)->outcome(), Outcome::kApplied);
}

TEST_F(ColdTest, ALiftedBudgetLeavesRowsWhereTheyAreUntilTheyAreUsed) {
  MakeCold(keys_);
  SetBudget(h_, 0);
  h_.Apply();
  EXPECT_LE(Resident(), 1u);
  EXPECT_THAT(h_.Pull(h_.Header(), keys_)->rows_out, Each(-1));
  EXPECT_EQ(Resident(), keys_.size());
}

TEST_F(ColdTest, ACheckpointHasEveryRow) {
  MakeCold(keys_);
  Shard::Checkpoint checkpoint = h_.shard().BeginCheckpoint();
  size_t rows = 0;
  while (!checkpoint.tables.empty()) {
    Shard::CheckpointRows part;
    ASSERT_TRUE(h_.shard().NextRows(checkpoint, 3 * 44, part).ok());
    rows += part.bytes.size() / 44 + part.cold.size();
    EXPECT_TRUE(std::is_sorted(part.cold.begin(), part.cold.end()));
    // What is in memory changes from part to part.
    h_.Row(keys_[rows % keys_.size()]);
    ASSERT_LE(rows, keys_.size());
  }
  EXPECT_EQ(rows, keys_.size());
}

class ColdRoundTest : public ColdTest {
 protected:
  ColdRoundTest() : ColdTest(SyncKind::kBsp) {
    h_.Join(0, 100);
    h_.Join(1, 101);
  }
};

TEST_F(ColdRoundTest, ARoundFetchesItsRowsWhenItCloses) {
  MakeCold(keys_);
  h_.port().HoldFetches();
  wire::SectionHeader header = Numbered(1);
  header.flags = wire::kFlagEndOfClock;
  auto one = h_.Push(header, keys_, std::vector<float>(30, 2));
  header.session = 101;
  auto two = h_.Push(header, {keys_[0]}, {6, 6, 6});
  EXPECT_EQ(one->outcome(), Outcome::kAccumulated);
  EXPECT_EQ(two->outcome(), Outcome::kAccumulated);
  header.session = 100;
  header.clock = 1;
  header.flags = 0;
  auto pull = h_.Pull(header, {keys_[0], keys_[1]});
  EXPECT_EQ(pull->times_done, 0);
  h_.port().GoFetches();
  // -1 - (2 + 6) / 2 and -1 - 2 / 2
  EXPECT_THAT(pull->rows_out, ElementsAre(-5, -5, -5, -2, -2, -2));
}

// ---- The same bits ----------------------------------------------------------

// Random pushes, flushes that succeed or fail, restarts, fetches that come
// late, at a shard with a budget of a tenth; the other keeps everything.
TEST_F(ColdTest, ABudgetChangesNoBit) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    BitGen gen(seed);
    ShardHarness small, whole;
    for (ShardHarness* h : {&small, &whole}) {
      h->SetTable([](v1::TableSpec& spec) {
        *spec.mutable_rule() = {};
        spec.mutable_rule()->set_name("adagrad");
      });
    }
    small.SetTable([](v1::TableSpec& spec) {
      spec.set_memory_budget(30 * 64 * kShardCount);
    });
    small.Apply();
    whole.Apply();
    const std::vector<Key> keys = KeysOf(2, 300);
    std::vector<Sent> sent;
    for (int i = 0; i < 200; ++i) {
      std::vector<Key> some;
      for (size_t n = 1 + gen.Below(20); n > 0; --n) {
        some.push_back(keys[gen.Below(1 + gen.Below(keys.size()))]);
      }
      std::vector<float> grads(some.size() * kDim);
      for (float& grad : grads) grad = static_cast<float>(gen.Uniform() - 0.5);
      if (gen.Below(4) == 0) small.port().HoldFetches();
      // Waiting pushes of no session could pass each other.
      sent.push_back(small.Push(small.Header(), some, grads));
      small.port().GoFetches();
      sent.push_back(whole.Push(whole.Header(), some, grads));
      if (gen.Below(3) == 0) small.Flush();
      if (gen.Below(6) == 0) {
        ShardFlush flush;
        small.shard().Collect(10, [&](ShardFlush f) { flush = std::move(f); });
        small.shard().Flushed(flush, absl::UnavailableError("disk"));
      }
      if (gen.Below(40) == 0) {
        small.Restart();
        whole.Restart();
      }
      ASSERT_EQ(small.shard().table(kTable)->rolling_checksum(),
                whole.shard().table(kTable)->rolling_checksum());
      ASSERT_EQ(small.Pull(small.Header(), some)->rows_out,
                whole.Pull(whole.Header(), some)->rows_out);
    }
    for (const Sent& push : sent) ASSERT_EQ(push->outcome(), Outcome::kApplied);
    small.Flush();
    EXPECT_LE(small.shard().Report().resident_rows, 30u);
    EXPECT_GT(small.port().fetches(), 10);
    EXPECT_EQ(small.shard().table(kTable)->Checksum(),
              whole.shard().table(kTable)->Checksum());
    EXPECT_EQ(small.shard().Checksum().has_value(), true);
  }
}

}  // namespace
}  // namespace paramo
