// What a shard hands to the store is all that it needs to go on.
#include <gmock/gmock.h>

#include "paramo/v1/shard_state.pb.h"
#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {
namespace {

using ::testing::Each;
using wire::Outcome;

class RestartTest : public ::testing::Test {
 protected:
  ShardFlush Flush() { return h_.Flush(); }

  void Restart() {
    const uint64_t before = h_.shard().table(kTable)->Checksum();
    h_.Restart();
    EXPECT_EQ(h_.shard().table(kTable)->Checksum(), before);
  }

  wire::SectionHeader Step(SessionId session, WorkerClock clock, SeqNo seq) {
    wire::SectionHeader header = h_.Header();
    header.session = session;
    header.session_epoch = 1;
    header.seq = seq;
    header.clock = clock;
    header.flags = wire::kFlagEndOfClock;
    return header;
  }

  ShardHarness h_{SyncKind::kBsp};
  std::vector<Key> keys_ = KeysOf(2, 5);
};

TEST_F(RestartTest, RowsSessionsAndOpenRoundsGoOn) {
  h_.Join(0, 100);
  h_.Join(1, 101);
  std::vector<float> ones(15, 1);
  h_.Push(Step(100, 0, 1), keys_, ones);
  h_.Push(Step(101, 0, 1), keys_, ones);
  h_.Push(Step(100, 1, 2), {keys_[0]}, {4, 4, 4});  // round 1 is open
  Lsn lsn = h_.shard().Report().lsn;
  Restart();
  EXPECT_GT(h_.shard().Report().lsn, lsn);  // a takeover's first record
  EXPECT_THAT(h_.Row(keys_[3]), Each(-1));
  // A retry from before the restart is answered, not applied again.
  auto again = h_.Push(Step(100, 1, 2), {keys_[0]}, {4, 4, 4});
  EXPECT_EQ(again->outcome(), Outcome::kAccumulated);
  // The open round has kept the contribution that it held.
  h_.Push(Step(101, 1, 2), {keys_[0]}, {2, 2, 2});
  EXPECT_THAT(h_.Row(keys_[0]), Each(-4));
}

TEST_F(RestartTest, AShardThatStoodStillStillDoes) {
  h_.Join(0, 100);
  h_.Join(1, 101);
  h_.Push(Step(101, 0, 1), {keys_[0]}, {4, 4, 4});
  h_.Leave(1, kUndecidedRound);
  h_.Join(2, 102, kUndecidedRound);
  h_.Push(Step(100, 0, 1), {keys_[0]}, {2, 2, 2});
  Restart();
  EXPECT_THAT(h_.Row(keys_[0]), Each(0));
  h_.Leave(1, /*first_without=*/1);
  EXPECT_THAT(h_.Row(keys_[0]), Each(0));  // the newcomer is undecided
  h_.Join(2, 102, /*first=*/1);
  EXPECT_THAT(h_.Row(keys_[0]), Each(-3));  // the dead's step 0 counts
  h_.Push(Step(100, 1, 2), {keys_[0]}, {2, 2, 2});
  EXPECT_THAT(h_.Row(keys_[0]), Each(-3));  // round 1 waits for the newcomer
}

TEST_F(RestartTest, AJobWhoseWorkersHaveYetToJoinStillStandsStill) {
  h_.view().jobs[0].gathering = true;
  h_.Join(0, 100);
  h_.Push(Step(100, 0, 1), {keys_[0]}, {4, 4, 4});
  Restart();
  EXPECT_THAT(h_.Row(keys_[0]), Each(0));
  h_.view().jobs[0].gathering = false;
  h_.Join(1, 101);
  h_.Push(Step(101, 0, 1), {keys_[0]}, {2, 2, 2});
  EXPECT_THAT(h_.Row(keys_[0]), Each(-3));
}

// Only open rounds are kept: not the steps of jobs without rounds, and not
// those that came after their round had closed.
TEST_F(RestartTest, StepsThatAreOverLeaveNothingInTheState) {
  auto contributions = [this] {
    v1::ShardState state;
    EXPECT_TRUE(state.ParseFromString(Flush().state));
    return state.jobs(0).contributions_size();
  };
  h_.Join(0, 100);
  h_.Join(1, 101);
  for (WorkerClock clock = 0; clock < 20; ++clock) {
    h_.Push(Step(100, clock, clock + 1), {keys_[0]}, {1, 1, 1});
    h_.Push(Step(101, clock, 2 * clock + 1), {keys_[0]}, {1, 1, 1});
    h_.Push(Step(101, clock, 2 * clock + 2), {}, {});  // late
  }
  EXPECT_EQ(contributions(), 0);
  h_.Push(Step(100, 20, 21), {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(contributions(), 2);  // the part and its end

  ShardHarness async;
  async.Join(0, 100);
  for (WorkerClock clock = 0; clock < 20; ++clock) {
    async.Push(Step(100, clock, clock + 1), {keys_[0]}, {1, 1, 1});
  }
  ShardFlush flush;
  async.shard().Collect(100, [&flush](ShardFlush f) { flush = std::move(f); });
  v1::ShardState state;
  ASSERT_TRUE(state.ParseFromString(flush.state));
  EXPECT_EQ(state.jobs(0).contributions_size(), 0);
}

TEST_F(RestartTest, NothingIsDirtyWhenNothingHappened) {
  h_.Apply();
  Flush();
  EXPECT_EQ(h_.shard().DirtyRows(), 0u);
  h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  EXPECT_GT(h_.shard().DirtyRows(), 0u);
}

TEST_F(RestartTest, RowsOfAFailedFlushAreDirtyAgain) {
  h_.Apply();
  h_.Push(h_.Header(), {keys_[0], keys_[1]}, {1, 1, 1, 2, 2, 2});
  ShardFlush flush;
  h_.shard().Collect(100, [&flush](ShardFlush f) { flush = std::move(f); });
  ASSERT_EQ(flush.rows.size(), 2u);
  EXPECT_GE(h_.shard().DirtyRows(), 2u);  // collected is not stored
  h_.shard().Flushed(flush, absl::UnavailableError("disk"));
  EXPECT_EQ(Flush().rows.size(), 2u);
  EXPECT_EQ(h_.shard().DirtyRows(), 0u);
}

TEST_F(RestartTest, LogToReplayIsWhatCameBehindTheStoredState) {
  h_.Apply();
  Flush();
  EXPECT_EQ(h_.shard().UnstoredLogBytes(), 0u);
  h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  const uint64_t push = h_.shard().UnstoredLogBytes();
  EXPECT_GT(push, sizeof(RecordHeader));
  ShardFlush flush;
  h_.shard().Collect(100, [&flush](ShardFlush f) { flush = std::move(f); });
  h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(h_.shard().UnstoredLogBytes(), 3 * push);
  h_.shard().Flushed(flush, absl::UnavailableError("disk"));
  EXPECT_EQ(h_.shard().UnstoredLogBytes(), 3 * push);
  h_.shard().Collect(100, [&flush](ShardFlush f) { flush = std::move(f); });
  h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  h_.shard().Flushed(flush, absl::OkStatus());
  EXPECT_EQ(h_.shard().UnstoredLogBytes(), push);
}

TEST_F(RestartTest, OneFlushCopiesNoMoreThanItsShare) {
  h_.Apply();
  const size_t record = 32 + 3 * 4;
  std::vector<Key> keys = KeysOf(2, kFlushShardBytesMax / record + 1000);
  h_.Push(h_.Header(), keys, std::vector<float>(keys.size() * 3, 1));
  ShardFlush flush;
  h_.shard().Collect(keys.size(),
                     [&flush](ShardFlush f) { flush = std::move(f); });
  EXPECT_LT(flush.rows.size(), keys.size());
  EXPECT_LE(flush.arena.size(), kFlushShardBytesMax + record);
  h_.shard().Flushed(flush, absl::OkStatus());
  EXPECT_EQ(flush.rows.size() + Flush().rows.size(), keys.size());
}

absl::StatusCode CodeOfRestoring(const v1::ShardState& state) {
  ShardHarness fresh;
  return fresh.shard()
      .Restore({.state = &state, .tables = {}, .promise = {}, .log = {}})
      .code();
}

v1::ShardState EmptyState() {
  v1::ShardState state;
  state.set_format(2);
  state.set_shard(2);
  return state;
}

TEST_F(RestartTest, StateOfAnotherShardIsRefused) {
  v1::ShardState state = EmptyState();
  EXPECT_EQ(CodeOfRestoring(state), absl::StatusCode::kOk);
  state.set_shard(3);
  EXPECT_EQ(CodeOfRestoring(state), absl::StatusCode::kDataLoss);
}

TEST_F(RestartTest, StateOfAnotherFormatIsRefused) {
  v1::ShardState state = EmptyState();
  state.set_format(1);
  EXPECT_EQ(CodeOfRestoring(state), absl::StatusCode::kDataLoss);
}

TEST_F(RestartTest, JobWithAnUnknownKindOfSyncIsRefused) {
  v1::ShardState state = EmptyState();
  state.add_jobs()->mutable_sync()->set_kind(static_cast<v1::Sync::Kind>(99));
  EXPECT_EQ(CodeOfRestoring(state), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace paramo
