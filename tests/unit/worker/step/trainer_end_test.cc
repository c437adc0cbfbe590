// How the training loop ends when it does not come to the end of its data.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/unit/worker/step/trainer_fakes.h"

namespace paramo {
namespace {

using ::testing::Contains;
using ::testing::Not;
using Ending = Trainer::Ending;

// ---- What is lost -----------------------------------------------------------

TEST_F(TrainerTest, AMembershipThatIsOverIsLost) {
  const Status not_a_member(Code::kFailedPrecondition, "not a member");
  job_.pull_answer = [&](uint64_t clock) {
    return clock == 1 ? not_a_member : Status();
  };
  ExpectEnding(Ending::kLost);
  EXPECT_EQ(events_.back(), "pull 1");
}

TEST_F(TrainerTest, ARefusedPushOfOneWhoIsNoMemberIsLost) {
  job_.push_answer = [&](const StepOptions& step) {
    std::optional<Result<PushAck>> answer = PushAck{};
    if (step.clock == 1) {
      answer = Status(Code::kFailedPrecondition, "not a member");
    }
    return answer;
  };
  ExpectEnding(Ending::kLost);
  EXPECT_THAT(events_, Not(Contains("push 2 of 2")));
}

// Half of the push may be in: only a new membership is sure to be right.
TEST_F(TrainerTest, APushOfUnknownOutcomeIsLost) {
  job_.push_answer = [&](const StepOptions&) {
    return std::optional<Result<PushAck>>(
        Status(Code::kDeadlineExceeded, "no answer from server 2"));
  };
  ExpectEnding(Ending::kLost);
  EXPECT_EQ(Count("push"), 1u);
}

TEST_F(TrainerTest, OneDeclaredDeadDoesNotTryAgain) {
  job_.pull_answer = [&](uint64_t clock) {
    if (clock == 0) return Status();
    job_.is_member = false;
    return Status(Code::kUnavailable, "server restarts");
  };
  ExpectEnding(Ending::kLost);
  EXPECT_EQ(Count("pull 1"), 1u);
}

TEST_F(TrainerTest, LeasesThatAreGoneAreLost) {
  for (const Code code : {Code::kNotFound, Code::kFailedPrecondition}) {
    job_.lease_answer = [&](int) { return Status(code, "no such member"); };
    ExpectEnding(Ending::kLost);
  }
}

TEST_F(TrainerTest, ABarrierThatKnowsUsNotIsLost) {
  job_.barrier_answer = [](int) { return Status(Code::kNotFound, "who?"); };
  ExpectEnding(Ending::kLost);
  EXPECT_EQ(Count("pull"), 0u);
}

// ---- Stop -------------------------------------------------------------------

TEST_F(TrainerTest, AskedToStopItEndsAfterTheStep) {
  step_.loss = [&](uint64_t clock) {
    if (clock == 1) stop_ = true;
    return 0.5;
  };
  ExpectEnding(Ending::kStopped);
  EXPECT_THAT(events_, Contains("push 1 of 2"));
  EXPECT_THAT(events_, Not(Contains("compute 2 on 0")));
}

TEST_F(TrainerTest, StopsWhileAPullIsParked) {
  job_.pull_answer = [&](uint64_t clock) -> std::optional<Status> {
    if (clock == 0) return Status();
    stop_ = true;
    return std::nullopt;
  };
  ExpectEnding(Ending::kStopped);
}

TEST_F(TrainerTest, StopsWhileAPushIsOnItsWay) {
  job_.push_answer = [&](const StepOptions&) -> std::optional<Result<PushAck>> {
    stop_ = true;
    return std::nullopt;
  };
  ExpectEnding(Ending::kStopped);
}

TEST_F(TrainerTest, AJobStoppedByAPersonStopsItsWorkers) {
  step_.loss = [&](uint64_t) {
    job_.phase_now = JobPhase::kStopped;
    return 0.5;
  };
  ExpectEnding(Ending::kStopped);
  EXPECT_EQ(Count("compute"), 1u);
}

TEST_F(TrainerTest, StoppedBeforeTheStartItPushesNothing) {
  stop_ = true;
  ExpectEnding(Ending::kStopped);
  EXPECT_TRUE(events_.empty());
}

// ---- Errors -----------------------------------------------------------------

TEST_F(TrainerTest, ALossThatIsNotFiniteNamesTheRemedy) {
  step_.loss = [](uint64_t clock) {
    return clock == 1 ? std::numeric_limits<double>::quiet_NaN() : 0.5;
  };
  ExpectError(absl::StatusCode::kOutOfRange, "lower optimizer.lr");
  EXPECT_THAT(events_, Not(Contains("push 1 of 2")));
}

TEST_F(TrainerTest, WhatNoNewMembershipMendsIsAnError) {
  job_.pull_answer = [](uint64_t) {
    return Status(Code::kNotFound, "table t.w0 was dropped");
  };
  ExpectError(absl::StatusCode::kNotFound, "t.w0 was dropped");
}

TEST_F(TrainerTest, ARefusedPushIsAnError) {
  job_.push_answer = [](const StepOptions&) {
    return std::optional<Result<PushAck>>(
        Status(Code::kInvalidArgument, "gradient is NaN"));
  };
  ExpectError(absl::StatusCode::kInvalidArgument, "gradient is NaN");
}

TEST_F(TrainerTest, DataThatCannotBeReadIsAnError) {
  data_->failing = true;
  ExpectError(absl::StatusCode::kDataLoss, "disk");
}

TEST_F(TrainerTest, ALeaseCallThatFailsForGoodIsAnError) {
  job_.lease_answer = [](int) {
    return Status(Code::kInvalidArgument, "data shard 9");
  };
  ExpectError(absl::StatusCode::kInvalidArgument, "data shard 9");
}

TEST_F(TrainerTest, AnEvaluationThatFailsIsAnError) {
  step_.metric = absl::InternalError("no rows");
  ExpectError(absl::StatusCode::kInternal, "no rows");
}

}  // namespace
}  // namespace paramo
