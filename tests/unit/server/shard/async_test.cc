// What a push's clock, its staleness and its pulled values do on one shard.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using wire::Outcome;
using wire::Reason;

// Two members (sessions 100 and 101) and a table of rule sgd with lr 1.
class AsyncTest : public ::testing::Test {
 protected:
  explicit AsyncTest(SyncKind sync = SyncKind::kAsync) : h_(sync) {
    h_.Join(0, 100);
    h_.Join(1, 101);
  }

  void Alter(const std::function<void(v1::TableSpec&)>& change) {
    h_.SetTable(change);
    h_.Apply();
  }

  wire::SectionHeader Step(SessionId session, WorkerClock clock, SeqNo seq,
                           uint32_t flags = wire::kFlagEndOfClock) {
    wire::SectionHeader header = h_.Header();
    header.session = session;
    header.session_epoch = 1;
    header.seq = seq;
    header.clock = clock;
    header.flags = flags;
    return header;
  }

  ShardHarness h_;
  std::vector<Key> keys_ = KeysOf(2, 2);
};

class BspAsyncTest : public AsyncTest {
 protected:
  BspAsyncTest() : AsyncTest(SyncKind::kBsp) {}
};

TEST_F(AsyncTest, ScheduleFollowsTheClockOfThePush) {
  Alter([](auto& table) { table.mutable_schedule()->set_warmup(4); });
  h_.Push(Step(100, 1, 1), {keys_[0]}, {1, 1, 1});
  EXPECT_THAT(h_.Row(keys_[0]), Each(-0.5f));
  h_.Push(Step(100, 3, 2), {keys_[0]}, {1, 1, 1});
  EXPECT_THAT(h_.Row(keys_[0]), Each(-1.5f));
  // Outside the job and without a clock: clock 0.
  h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  EXPECT_THAT(h_.Row(keys_[0]), Each(-1.75f));
}

TEST_F(BspAsyncTest, ScheduleFollowsTheRound) {
  Alter([](auto& table) { table.mutable_schedule()->set_warmup(4); });
  for (WorkerClock clock = 0; clock < 2; ++clock) {
    h_.Push(Step(100, clock, clock + 1), {keys_[0]}, {2, 2, 2});
    h_.Push(Step(101, clock, clock + 1), {keys_[0]}, {2, 2, 2});
  }
  EXPECT_THAT(h_.Row(keys_[0]), Each(-2 * 0.25f - 2 * 0.5f));
}

TEST_F(AsyncTest, StalePushesMoveLess) {
  Alter([](auto& table) { table.set_staleness_scaling(true); });
  for (WorkerClock clock = 0; clock < 4; ++clock) {
    h_.Push(Step(100, clock, clock + 1), {keys_[0]}, {1, 1, 1});
  }
  EXPECT_THAT(h_.Row(keys_[0]), Each(-4));  // the fastest is never stale
  // Worker 0 has finished 4 steps; this is the first of worker 1.
  h_.Push(Step(101, 0, 1), {keys_[1]}, {1, 1, 1});
  EXPECT_THAT(h_.Row(keys_[1]), Each(-1.0f / 5));
  h_.Push(Step(101, 3, 2), {keys_[1]}, {1, 1, 1});
  EXPECT_THAT(h_.Row(keys_[1]), Each(-1.0f / 5 - 1.0f / 2));
  // Ahead of everybody: not negative.
  h_.Push(Step(101, 9, 3), {keys_[1]}, {1, 1, 1});
  EXPECT_THAT(h_.Row(keys_[1]), Each(-1.0f / 5 - 1.0f / 2 - 1));
}

TEST_F(AsyncTest, StalenessIsOnlyTheMembersMatter) {
  Alter([](auto& table) { table.set_staleness_scaling(true); });
  h_.Push(Step(100, 5, 1), {keys_[0]}, {1, 1, 1});
  h_.Push(h_.Header(), {keys_[1]}, {1, 1, 1});
  EXPECT_THAT(h_.Row(keys_[1]), Each(-1));
}

TEST_F(AsyncTest, PulledValuesCompensateDelay) {
  for (const size_t piece : {size_t{0}, size_t{7}}) {  // rows on seams, too
    SCOPED_TRACE(piece);
    ShardHarness h;
    h.SetTable([](auto& table) { table.set_delay_compensation(0.5); });
    h.Apply();
    h.Push(h.Header(), {keys_[0]}, {2, 4, 6});  // the row: -2 -4 -6
    auto header = h.Header();
    header.flags = wire::kFlagWithPulled;
    // Computed at zeros: g' = g + 0.5 g g (w - 0).
    auto push = h.Push(header, {keys_[0], keys_[1]},
                       {2, 1, 0, 0, 0, 0,  //
                        1, 1, 1, 0, 0, 0},
                       piece);
    EXPECT_EQ(push->code(), absl::StatusCode::kOk) << push->reply.message;
    EXPECT_EQ(push->outcome(), Outcome::kApplied);
    // 2 + 0.5 x 4 x -2 = -2;  1 + 0.5 x 1 x -4 = -1;  0
    EXPECT_THAT(h.Row(keys_[0]), ElementsAre(0, -3, -6));
    EXPECT_THAT(h.Row(keys_[1]), Each(-1));
  }
}

TEST_F(AsyncTest, PulledValuesAreRefusedByATableWithoutCompensation) {
  auto push = h_.Push(Step(100, 0, 1, wire::kFlagWithPulled), {keys_[0]},
                      {1, 1, 1, 0, 0, 0});
  EXPECT_EQ(push->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(push->reason(), Reason::kUnsupported);
  EXPECT_THAT(push->reply.message, HasSubstr("delay_compensation"));
  EXPECT_THAT(h_.Row(keys_[0]), Each(0));
}

TEST_F(AsyncTest, PulledValuesMustBeThereFiniteAndOfAscendingKeys) {
  Alter([](auto& table) { table.set_delay_compensation(0.5); });
  const uint32_t flags = wire::kFlagWithPulled;
  auto push = h_.Push(Step(100, 0, 1, flags), {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(push->reason(), Reason::kDimensions);
  EXPECT_THAT(push->reply.message, HasSubstr("pulled values"));
  push = h_.Push(Step(100, 0, 2, flags), {keys_[0], keys_[0]},
                 std::vector<float>(12));
  EXPECT_EQ(push->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(push->reason(), Reason::kKeys);
  push = h_.Push(Step(100, 0, 3, flags), {keys_[1], keys_[0]},
                 std::vector<float>(12));
  EXPECT_EQ(push->reason(), Reason::kKeys);
  push = h_.Push(Step(100, 0, 4, flags), {keys_[0]},
                 {1, 1, 1, 0, std::nanf(""), 0});
  EXPECT_EQ(push->reason(), Reason::kNonFinite);
  EXPECT_EQ(h_.shard().Report().rows, 0u);
}

TEST_F(BspAsyncTest, PulledValuesAreRefusedWhereRoundsAre) {
  Alter([](auto& table) { table.set_delay_compensation(0.5); });
  auto push =
      h_.Push(Step(100, 0, 1, wire::kFlagWithPulled | wire::kFlagEndOfClock),
              {keys_[0]}, {1, 1, 1, 0, 0, 0});
  EXPECT_EQ(push->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(push->reason(), Reason::kUnsupported);
  EXPECT_THAT(push->reply.message, HasSubstr("round"));
}

TEST_F(AsyncTest, FirstValuesMakeMissingRowsAndLeaveOthersAlone) {
  wire::SectionHeader header = h_.Header();
  header.flags = wire::kFlagInitial;
  h_.Push(h_.Header(), {keys_[0]}, {1, 1, 1});
  auto push = h_.Push(header, keys_, {5, 5, 5, 0.5, 0.25, -2});
  EXPECT_EQ(push->code(), absl::StatusCode::kOk) << push->reply.message;
  EXPECT_THAT(h_.Row(keys_[0]), Each(-1));
  EXPECT_THAT(h_.Row(keys_[1]), ElementsAre(0.5, 0.25, -2));
  h_.Push(header, keys_, {9, 9, 9, 9, 9, 9});
  EXPECT_THAT(h_.Row(keys_[1]), ElementsAre(0.5, 0.25, -2));
  h_.Push(h_.Header(), {keys_[1]}, {1, 1, 1});
  EXPECT_THAT(h_.Row(keys_[1]), ElementsAre(-0.5, -0.75, -3));
}

TEST_F(AsyncTest, FirstValuesAreFiniteWhateverThePolicyAndOfAscendingKeys) {
  Alter([](auto& table) {
    table.mutable_non_finite()->set_policy(v1::NonFinite::SKIP_ROW);
  });
  wire::SectionHeader header = h_.Header();
  header.flags = wire::kFlagInitial;
  auto push = h_.Push(header, {keys_[0]}, {1, NAN, 1});
  EXPECT_EQ(push->reason(), Reason::kNonFinite);
  push = h_.Push(header, {keys_[0], keys_[0]}, {1, 1, 1, 2, 2, 2});
  EXPECT_EQ(push->reason(), Reason::kKeys);
  header.flags |= wire::kFlagWithPulled;
  push = h_.Push(header, {keys_[0]}, {1, 1, 1, 0, 0, 0});
  EXPECT_EQ(push->reason(), Reason::kUnsupported);
  EXPECT_THAT(h_.Row(keys_[0]), Each(0));
}

TEST_F(BspAsyncTest, FirstValuesAreRefusedFromAMemberOfAJobWithRounds) {
  auto push =
      h_.Push(Step(100, 0, 1, wire::kFlagInitial | wire::kFlagEndOfClock),
              {keys_[0]}, {1, 1, 1});
  EXPECT_EQ(push->reason(), Reason::kUnsupported);
}

}  // namespace
}  // namespace paramo
