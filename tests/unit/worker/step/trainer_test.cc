// What the training loop does in which order, and what it lives through.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/worker/step/trainer_fakes.h"

namespace paramo {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;
using Ending = Trainer::Ending;

// ---- Order ------------------------------------------------------------------

TEST_F(TrainerTest, ADenseStepPullsAheadAndPushesInTurns) {
  ExpectEnding(Ending::kDone);
  EXPECT_THAT(
      events_,
      ElementsAre("barrier start", "pull 0",                                  //
                  "prepare on 0", "compute 0 on 0", "push 0 of 2", "pull 1",  //
                  "prepare on 1", "compute 1 on 1", "push 1 of 2", "pull 2",  //
                  "prepare on 0", "compute 2 on 0", "push 2 of 2", "pull 3",  //
                  "prepare on 1", "compute 3 on 1", "push 3 of 2", "pull 4",  //
                  // An empty step closes the last round, for everybody.
                  "push 4 of 0", "barrier finished", "pull 0", "evaluate"));
  EXPECT_THAT(job_.positions(), ElementsAre(Pair(0, 2), Pair(1, 2)));
  EXPECT_EQ(job_.reported().examples, 8u);
  EXPECT_EQ(job_.reported().metric, 0.9);
  EXPECT_EQ(job_.reported().metric_epoch, 1);
}

TEST_F(TrainerTest, ASparseStepPullsWhatItsBatchNeeds) {
  step_.dense = false;
  ExpectEnding(Ending::kDone);
  EXPECT_THAT(
      events_,
      ElementsAre("barrier start",                                            //
                  "prepare on 0", "pull 0", "compute 0 on 0", "push 0 of 2",  //
                  "prepare on 1", "pull 1", "compute 1 on 1", "push 1 of 2",  //
                  "prepare on 0", "pull 2", "compute 2 on 0", "push 2 of 2",  //
                  "prepare on 1", "pull 3", "compute 3 on 1", "push 3 of 2",  //
                  "push 4 of 0", "barrier finished", "evaluate"));
}

TEST_F(TrainerTest, BeginsAtItsFirstClock) {
  job_.first = 7;
  ExpectEnding(Ending::kDone);
  EXPECT_EQ(events_[1], "pull 7");
  EXPECT_THAT(events_, Contains("push 10 of 2"));
}

TEST_F(TrainerTest, AsyncEndsWithoutAnEmptyStep) {
  work_.job.sync = Sync::kAsync;
  ExpectEnding(Ending::kDone);
  EXPECT_EQ(Count("push"), 4u);
}

TEST_F(TrainerTest, EvaluatesAtTheTurnOfAnEpochAndAtTheEnd) {
  work_.job.epochs = 2;
  job_.data_shards = 4;
  ExpectEnding(Ending::kDone);
  const auto turn = std::find(events_.begin(), events_.end(), "evaluate");
  ASSERT_NE(turn, events_.end());
  EXPECT_EQ(*(turn + 1), "compute 4 on 0");
  EXPECT_EQ(Count("evaluate"), 2u);
  EXPECT_EQ(job_.reported().metric_epoch, 2);
}

TEST_F(TrainerTest, SavesTheWeightsThatItEvaluated) {
  ASSERT_TRUE(Run("w.npz").ok());
  EXPECT_EQ(events_.back(), "save w.npz");
}

// ---- Prefetch ---------------------------------------------------------------

// Push t is answered only when pull t + 1 is asked for.
TEST_F(TrainerTest, ADensePullDoesNotWaitForThePushBefore) {
  job_.push_answer =
      [&](const StepOptions& step) -> std::optional<Result<PushAck>> {
    if (step.examples == 0) return PushAck{};
    return std::nullopt;
  };
  job_.pull_answer = [&](uint64_t) {
    job_.AnswerPush();
    return Status();
  };
  ExpectEnding(Ending::kDone);
  EXPECT_EQ(Count("push"), 5u);
}

// Push t is answered only when step t + 1 is computed.
TEST_F(TrainerTest, ThePushOfAStepIsOnItsWayWhileTheNextIsComputed) {
  step_.dense = false;
  job_.push_answer =
      [&](const StepOptions& step) -> std::optional<Result<PushAck>> {
    if (step.clock >= 3) return PushAck{};
    return std::nullopt;
  };
  step_.loss = [&](uint64_t) {
    job_.AnswerPush();
    return 0.5;
  };
  ExpectEnding(Ending::kDone);
  EXPECT_EQ(Count("push"), 5u);
}

// ---- Without data -----------------------------------------------------------

TEST_F(TrainerTest, WithoutDataItStepsEmptyUntilThereIsSome) {
  job_.withhold = true;
  job_.push_answer = [&](const StepOptions& step) {
    if (step.clock == 2) job_.withhold = false;
    return std::optional<Result<PushAck>>(PushAck{});
  };
  ExpectEnding(Ending::kDone);
  ASSERT_GT(events_.size(), 8u);
  EXPECT_THAT(Events(events_.begin(), events_.begin() + 8),
              ElementsAre("barrier start", "pull 0", "push 0 of 0", "probe:",
                          "pull 1", "push 1 of 0", "probe:", "pull 2"));
  // The probe brought one part: the first step with data pulls them all.
  const auto first = std::find(events_.begin(), events_.end(), "prepare on 0");
  ASSERT_NE(first, events_.end());
  EXPECT_THAT(*(first + 1), StartsWith("pull "));
  EXPECT_THAT(*(first + 2), StartsWith("compute "));
  EXPECT_EQ(Count("compute"), 4u);
}

TEST_F(TrainerTest, AsyncWithoutDataOnlyWaits) {
  work_.job.sync = Sync::kAsync;
  job_.withhold = true;
  job_.lease_answer = [&](int call) {
    if (call == 3) job_.withhold = false;
    return Status();
  };
  ExpectEnding(Ending::kDone);
  EXPECT_EQ(Count("push"), 4u);
  EXPECT_THAT(events_, Not(Contains("probe:")));
}

// ---- What passes ------------------------------------------------------------

TEST_F(TrainerTest, APullThatFailsForTheMomentIsMadeAgain) {
  int failures = 0;
  job_.pull_answer = [&](uint64_t clock) {
    if (clock != 1 || failures == 2) return Status();
    return ++failures == 1 ? Status(Code::kUnavailable, "server restarts")
                           : Status(Code::kDeadlineExceeded, "rank 1 is slow");
  };
  ExpectEnding(Ending::kDone);
  EXPECT_EQ(Count("pull 1"), 3u);
}

TEST_F(TrainerTest, ABarrierWaitsAsLongAsItTakes) {
  job_.barrier_answer = [](int call) {
    return call == 0 ? Status(Code::kDeadlineExceeded, "rank 1 is missing")
                     : Status();
  };
  ExpectEnding(Ending::kDone);
  EXPECT_EQ(Count("barrier start"), 2u);
}

TEST_F(TrainerTest, ACoordinatorThatIsAwayStopsNoStep) {
  job_.lease_answer = [](int call) {
    return call < 3 ? Status(Code::kUnavailable, "no coordinator") : Status();
  };
  ExpectEnding(Ending::kDone);
  EXPECT_EQ(Count("compute"), 4u);
}

// A straggler under round or bsp+B: the servers are at clock 7.
TEST_F(TrainerTest, GoesOnWhereItsDroppedPushShowsTheOthersToBe) {
  job_.push_answer = [](const StepOptions& step) {
    PushAck ack;
    if (step.clock == 1) ack = {.clock = 7, .dropped = 1};
    return std::optional<Result<PushAck>>(ack);
  };
  ExpectEnding(Ending::kDone);
  EXPECT_THAT(events_, Contains("push 1 of 2"));
  EXPECT_THAT(events_, Contains("push 7 of 2"));
  EXPECT_THAT(events_, Not(Contains("push 2 of 2")));
}

}  // namespace
}  // namespace paramo
