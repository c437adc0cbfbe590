// A bsp job on one shard: rounds, parked pulls, joins and deaths.
#include <gmock/gmock.h>

#include "common/base/limits.h"
#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using wire::Outcome;
using wire::Reason;

class SyncGateTest : public ::testing::Test {
 protected:
  SyncGateTest() {
    h_.Join(0, 100);
    h_.Join(1, 101);
  }

  wire::SectionHeader Step(SessionId session, WorkerClock clock, SeqNo seq,
                           uint32_t examples = 1) {
    wire::SectionHeader header = h_.Header();
    header.session = session;
    header.session_epoch = 1;
    header.seq = seq;
    header.clock = clock;
    header.examples = examples;
    header.flags = wire::kFlagEndOfClock;
    return header;
  }
  wire::SectionHeader At(SessionId session, WorkerClock clock) {
    wire::SectionHeader header = h_.Header();
    header.session = session;
    header.session_epoch = 1;
    header.clock = clock;
    return header;
  }

  ShardHarness h_{SyncKind::kBsp};
  Key key_ = KeysOf(2, 1)[0];
};

// Ending a step closes the rounds before it one by one: a clock out of the
// blue must not keep the shard at that for ever.
TEST_F(SyncGateTest, AStepFarAheadOfTheOpenRoundIsRefused) {
  h_.Leave(1);
  auto far = h_.Push(Step(100, kRoundsAheadMax, 1), {}, {});
  EXPECT_EQ(far->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(far->reason(), Reason::kOverloaded);
  // The number is still free, and the furthest step that is taken is near.
  auto near = h_.Push(Step(100, kRoundsAheadMax - 1, 1), {}, {});
  EXPECT_EQ(near->outcome(), Outcome::kAccumulated);
  EXPECT_EQ(near->reply.header.code, 0u);
}

// One round close, however late everybody begins.
TEST_F(SyncGateTest, RoundsThatNobodyIsPartOfArePassedOver) {
  h_.Leave(0);
  h_.Leave(1);
  const Lsn before = h_.shard().Report().lsn;
  const WorkerClock late = 5000;
  h_.Join(2, 102, late);
  EXPECT_LE(h_.shard().Report().lsn, before + 2);  // the join, the close
  EXPECT_EQ(h_.rounds().Snapshot().at(1), late);
  h_.Push(Step(102, late, 1), {key_}, {2, 2, 2});
  EXPECT_THAT(h_.Row(key_), Each(-2));

  h_.Leave(2);
  const WorkerClock last = kUndecidedRound - 1;
  h_.Join(3, 103, last);
  EXPECT_LE(h_.shard().Report().lsn, before + 7);
  EXPECT_EQ(h_.rounds().Snapshot().at(1), last);
}

// But not the rounds that one who left had completed.
TEST_F(SyncGateTest, CompleteStepsOfTheDeadAreNotPassedOver) {
  h_.Push(Step(101, 0, 1), {}, {});
  h_.Push(Step(101, 1, 2), {key_}, {4, 4, 4});
  h_.Join(2, 102, 5000);
  h_.Leave(1);
  h_.Leave(0);
  EXPECT_THAT(h_.Row(key_), Each(-4));
  EXPECT_EQ(h_.rounds().Snapshot().at(1), 5000u);
}

TEST_F(SyncGateTest, RoundIsAppliedWhenAllHaveEndedIt) {
  auto first = h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  EXPECT_EQ(first->outcome(), Outcome::kAccumulated);  // safe, not visible
  EXPECT_THAT(h_.Row(key_), Each(0));
  auto second = h_.Push(Step(101, 0, 1, /*examples=*/3), {key_}, {6, 6, 6});
  EXPECT_EQ(second->outcome(), Outcome::kAccumulated);
  EXPECT_THAT(h_.Row(key_), Each(-5));  // -(1/4 * 2 + 3/4 * 6)
  EXPECT_EQ(h_.counters().rounds.Value(), 1u);
}

TEST_F(SyncGateTest, PullWaitsForItsRoundAndHoldsNoReceivedBytes) {
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  auto pull = h_.Pull(At(100, 1), {key_});
  EXPECT_FALSE(pull->done());
  EXPECT_EQ(pull->data, nullptr);
  EXPECT_EQ(h_.parked(), 1u);
  h_.Push(Step(101, 0, 1), {key_}, {4, 4, 4});
  ASSERT_TRUE(pull->done());
  EXPECT_THAT(pull->rows_out, Each(-3));
  EXPECT_EQ(pull->reply.header.clock, 1u);
  EXPECT_EQ(h_.parked(), 0u);
}

TEST_F(SyncGateTest, ParkedPullNamesWhomItWaitedFor) {
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  auto pull = h_.Pull(At(100, 1), {key_}, absl::Seconds(1));
  h_.Expire(absl::Milliseconds(999));
  EXPECT_FALSE(pull->done());
  h_.Expire(absl::Seconds(1));
  ASSERT_TRUE(pull->done());
  EXPECT_EQ(pull->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(pull->reply.message, HasSubstr("workers 1"));
  EXPECT_EQ(h_.parked(), 0u);
}

TEST_F(SyncGateTest, NoMoreParkedPullsThanTheLimit) {
  h_.Park(kParkedPullsMax - 1);  // by other shards of the server
  auto last = h_.Pull(At(100, 1), {key_});
  EXPECT_FALSE(last->done());
  auto refused = h_.Pull(At(100, 1), {key_});
  ASSERT_TRUE(refused->done());
  EXPECT_EQ(refused->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused->reply.header.retry_after_ms, kRetryAfterMs);
  // Pushes go through all the same: they are what frees the parked.
  EXPECT_EQ(h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2})->code(),
            absl::StatusCode::kOk);
  h_.Push(Step(101, 0, 1), {key_}, {2, 2, 2});
  EXPECT_TRUE(last->done());
}

TEST_F(SyncGateTest, DeathOfOneReleasesTheOthers) {
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  wire::SectionHeader half = Step(101, 0, 1);
  half.flags = 0;  // it died before its step ended
  h_.Push(half, {key_}, {100, 100, 100});
  auto pull = h_.Pull(At(100, 1), {key_});
  EXPECT_FALSE(pull->done());
  h_.Leave(1);
  ASSERT_TRUE(pull->done());
  EXPECT_THAT(pull->rows_out, Each(-2));
  EXPECT_EQ(h_.counters().contributions_dead.Value(), 1u);
  auto zombie = h_.Push(Step(101, 1, 2), {key_}, {1, 1, 1});
  EXPECT_EQ(zombie->reason(), Reason::kNotAMember);
  EXPECT_EQ(h_.Pull(At(101, 1), {key_})->reason(), Reason::kNotAMember);
}

TEST_F(SyncGateTest, CompleteStepsOfTheDeadCount) {
  h_.Push(Step(101, 0, 1), {key_}, {4, 4, 4});
  h_.Leave(1);
  EXPECT_THAT(h_.Row(key_), Each(0));
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  EXPECT_THAT(h_.Row(key_), Each(-3));
}

// Decided once for all shards: from that round on it is out, also where its
// contribution had arrived whole.
TEST_F(SyncGateTest, ContributionsOfTheDeadFromTheDecidedRoundOnAreDropped) {
  h_.Push(Step(101, 0, 1), {key_}, {4, 4, 4});
  h_.Leave(1, /*first_without=*/0);
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  EXPECT_THAT(h_.Row(key_), Each(-2));
  EXPECT_EQ(h_.counters().contributions_dead.Value(), 1u);
}

// The first round without it is still being decided: the shard takes nothing
// more of it, and closes no round, also not with what it had given.
TEST_F(SyncGateTest, StandsStillUntilTheRoundWithoutTheDeadIsDecided) {
  h_.Push(Step(101, 0, 1), {key_}, {4, 4, 4});
  h_.Leave(1, kUndecidedRound);
  EXPECT_EQ(h_.Push(Step(101, 1, 2), {key_}, {1, 1, 1})->reason(),
            Reason::kNotAMember);
  EXPECT_EQ(h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2})->outcome(),
            Outcome::kAccumulated);
  auto pull = h_.Pull(At(100, 1), {key_});
  EXPECT_FALSE(pull->done());
  EXPECT_THAT(h_.Row(key_), Each(0));
  h_.Leave(1, /*first_without=*/0);
  ASSERT_TRUE(pull->done());
  EXPECT_THAT(pull->rows_out, Each(-2));
}

TEST_F(SyncGateTest, StandsStillWhileANewcomersFirstRoundIsDecided) {
  h_.Join(2, 102, kUndecidedRound);
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  h_.Push(Step(101, 0, 1), {key_}, {4, 4, 4});
  EXPECT_THAT(h_.Row(key_), Each(0));
  h_.Join(2, 102, /*first=*/1);
  EXPECT_THAT(h_.Row(key_), Each(-3));
  h_.Push(Step(100, 1, 2), {key_}, {1, 1, 1});
  h_.Push(Step(101, 1, 2), {key_}, {1, 1, 1});
  EXPECT_THAT(h_.Row(key_), Each(-3));  // round 1 waits for it
}

TEST_F(SyncGateTest, ADeadlineClosesNoRoundMeanwhile) {
  ShardHarness h;
  h.view().jobs[0].sync.kind = SyncKind::kRound;
  h.view().jobs[0].sync.quorum = 2;
  h.view().jobs[0].sync.deadline_ms = 100;
  h.Join(0, 100);
  h.Join(1, 101);
  h.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  h.Leave(1, kUndecidedRound);
  h.Expire(absl::Seconds(1));
  EXPECT_THAT(h.Row(key_), Each(0));
  h.Leave(1, 0);
  h.Expire(absl::Seconds(1));
  EXPECT_THAT(h.Row(key_), Each(-2));
}

// A view may be the first in long: the rank has changed hands twice since.
TEST_F(SyncGateTest, ARankThatChangedHandsUnseenIsTakenOutAtItsOwnRound) {
  h_.Push(Step(101, 0, 1), {key_}, {4, 4, 4});
  auto& members = h_.view().jobs[0].members;
  members[1].left = true;
  members[1].left_clock = 1;  // its step 0 counts
  members.push_back({1, 201, 1, 2, /*left=*/true, 2});
  members.push_back({1, 301, 1, 3, false, 0});
  h_.Apply();
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  EXPECT_THAT(h_.Row(key_), Each(-3));
  // The one in between never was here, and is over all the same.
  EXPECT_EQ(h_.Push(Step(201, 2, 1), {key_}, {9, 9, 9})->reason(),
            Reason::kNotAMember);
  for (WorkerClock clock : {1, 2, 3}) {
    h_.Push(Step(100, clock, clock + 1), {key_}, {2, 2, 2});
  }
  EXPECT_THAT(h_.Row(key_), Each(-7));  // round 3 waits for 301
  h_.Push(Step(301, 3, 1), {key_}, {4, 4, 4});
  EXPECT_THAT(h_.Row(key_), Each(-10));
}

TEST_F(SyncGateTest, LateContributionIsDroppedAndToldSo) {
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  h_.Push(Step(101, 0, 1), {key_}, {2, 2, 2});
  auto late = h_.Push(Step(101, 0, 2), {key_}, {9, 9, 9});
  EXPECT_EQ(late->code(), absl::StatusCode::kOk);
  EXPECT_EQ(late->outcome(), Outcome::kDropped);
  EXPECT_EQ(late->reply.header.clock, 1u);
  EXPECT_THAT(h_.Row(key_), Each(-2));
}

TEST_F(SyncGateTest, StepThatTouchesNothingHereStillEnds) {
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  auto empty = h_.Push(Step(101, 0, 1), {}, {});
  EXPECT_EQ(empty->code(), absl::StatusCode::kOk);
  EXPECT_THAT(h_.Row(key_), Each(-1));  // mean over both workers' examples
}

TEST_F(SyncGateTest, NewIncarnationTakesTheRankInMidRun) {
  h_.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  h_.Leave(1);
  h_.Join(1, 201, /*first=*/2);
  h_.Push(Step(100, 1, 2), {key_}, {2, 2, 2});
  EXPECT_THAT(h_.Row(key_), Each(-4));
  h_.Push(Step(100, 2, 3), {key_}, {2, 2, 2});
  EXPECT_THAT(h_.Row(key_), Each(-4));  // round 2 waits for the new one
  h_.Push(Step(201, 2, 1), {key_}, {4, 4, 4});
  EXPECT_THAT(h_.Row(key_), Each(-7));
}

TEST_F(SyncGateTest, ConfigurationChangeFailsWhatWaits) {
  auto pull = h_.Pull(At(100, 1), {key_});
  h_.NextTerm();
  h_.Apply();
  ASSERT_TRUE(pull->done());
  EXPECT_EQ(pull->code(), absl::StatusCode::kAborted);
}

TEST_F(SyncGateTest, StopAnswersWhatWaits) {
  auto pull = h_.Pull(At(100, 1), {key_});
  h_.shard().StopServing();
  ASSERT_TRUE(pull->done());
  EXPECT_EQ(pull->code(), absl::StatusCode::kUnavailable);
}

TEST_F(SyncGateTest, RoundWithQuorumClosesAtItsDeadlineWithWhatItHas) {
  ShardHarness h;
  h.view().jobs[0].sync.kind = SyncKind::kRound;
  h.view().jobs[0].sync.quorum = 3;
  h.view().jobs[0].sync.deadline_ms = 100;
  for (WorkerId worker = 0; worker < 4; ++worker) h.Join(worker, 100 + worker);
  h.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  h.Push(Step(101, 0, 1), {key_}, {4, 4, 4});
  auto pull = h.Pull(At(100, 1), {key_});
  h.Expire(absl::Milliseconds(99));
  EXPECT_FALSE(pull->done());
  h.Expire(absl::Milliseconds(100));
  ASSERT_TRUE(pull->done());
  EXPECT_THAT(pull->rows_out, Each(-3));
  auto late = h.Push(Step(102, 0, 1), {key_}, {9, 9, 9});
  EXPECT_EQ(late->outcome(), Outcome::kDropped);
  // The next one closes at its quorum, without a deadline.
  for (SessionId session : {100, 101, 103}) {
    h.Push(Step(session, 1, session == 103 ? 1 : 2), {key_}, {3, 3, 3});
  }
  EXPECT_THAT(h.Row(key_), Each(-6));
  EXPECT_EQ(h.counters().round_deadlines.Value(), 0);
}

TEST_F(SyncGateTest, BackupWorkersAreNotWaitedFor) {
  ShardHarness h(SyncKind::kBsp);
  h.view().jobs[0].sync.backup_workers = 1;
  for (WorkerId worker = 0; worker < 3; ++worker) h.Join(worker, 100 + worker);
  h.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  EXPECT_THAT(h.Row(key_), Each(0));
  h.Push(Step(102, 0, 1), {key_}, {4, 4, 4});
  EXPECT_THAT(h.Row(key_), Each(-3));
  EXPECT_EQ(h.Push(Step(101, 0, 1), {key_}, {9, 9, 9})->outcome(),
            Outcome::kDropped);
}

TEST_F(SyncGateTest, SspPullWaitsForTheSlowestWithinItsBound) {
  ShardHarness h;
  h.view().jobs[0].sync.kind = SyncKind::kSsp;
  h.view().jobs[0].sync.staleness = 1;
  h.Join(0, 100);
  h.Join(1, 101);
  EXPECT_EQ(h.Push(Step(100, 0, 1), {key_}, {2, 2, 2})->outcome(),
            Outcome::kApplied);
  EXPECT_TRUE(h.Pull(At(100, 1), {key_})->done());
  h.Push(Step(100, 1, 2), {key_}, {2, 2, 2});
  auto pull = h.Pull(At(100, 2), {key_});
  EXPECT_FALSE(pull->done());
  h.Push(Step(101, 0, 1), {key_}, {5, 5, 5});
  ASSERT_TRUE(pull->done());
  EXPECT_THAT(pull->rows_out, Each(-9));
}

// Who joins first begins to work, but nothing goes by its clock alone: the
// others begin at clock 0 too.
TEST_F(SyncGateTest, NoRoundClosesBeforeAllFirstWorkersHaveJoined) {
  ShardHarness h{SyncKind::kBsp};
  h.view().jobs[0].gathering = true;
  h.Join(0, 100);
  EXPECT_EQ(h.Push(Step(100, 0, 1), {key_}, {2, 2, 2})->outcome(),
            Outcome::kAccumulated);
  auto pull = h.Pull(At(100, 1), {key_});
  EXPECT_FALSE(pull->done());
  auto hurried = h.Pull(At(100, 1), {key_}, /*deadline=*/absl::Seconds(1));
  h.Expire(absl::Seconds(2));
  EXPECT_THAT(hurried->reply.message, HasSubstr("all its workers to join"));

  h.view().jobs[0].gathering = false;
  h.Join(1, 101);
  EXPECT_THAT(h.Row(key_), Each(0));
  h.Push(Step(101, 0, 1), {key_}, {4, 4, 4});
  ASSERT_TRUE(pull->done());
  EXPECT_THAT(pull->rows_out, Each(-3));
}

TEST_F(SyncGateTest, ABoundCountsFirstWorkersThatHaveYetToJoin) {
  ShardHarness h;
  h.view().jobs[0].sync.kind = SyncKind::kSsp;
  h.view().jobs[0].sync.staleness = 1;
  h.view().jobs[0].gathering = true;
  h.Join(0, 100);
  h.Push(Step(100, 0, 1), {key_}, {2, 2, 2});
  EXPECT_TRUE(h.Pull(At(100, 1), {key_})->done());
  h.Push(Step(100, 1, 2), {key_}, {2, 2, 2});
  auto pull = h.Pull(At(100, 2), {key_});
  EXPECT_FALSE(pull->done());
  h.view().jobs[0].gathering = false;
  h.Join(1, 101);
  EXPECT_FALSE(pull->done());
  h.Push(Step(101, 0, 1), {key_}, {5, 5, 5});
  EXPECT_TRUE(pull->done());
}

TEST_F(SyncGateTest, OutsidersDoNotWait) {
  EXPECT_TRUE(h_.Pull(h_.Header(), {key_})->done());
}

}  // namespace
}  // namespace paramo
