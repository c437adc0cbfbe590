#include "paramo/status.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "client/core/errors.h"
#include "tests/unit/client/core/calls.h"

namespace paramo {
namespace {

TEST(Status, OkHasNoDetails) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), Code::kOk);
  EXPECT_EQ(status.ToString(), "OK");
  EXPECT_TRUE(Status(Code::kOk, "ignored").ok());
}

TEST(Status, SaysWhatTriedDataAndFixInFourLines) {
  ErrorDetails details;
  details.message = "no answer";
  details.action = "push of table ads";
  details.table = "ads";
  details.shard = 7;
  details.endpoint = "127.0.0.1:4001";
  details.attempts = 3;
  details.elapsed = std::chrono::milliseconds(2100);
  details.applied = Applied::kUnknown;
  details.sections = 5;
  details.sections_taken = 4;
  details.hint = "look at the server";
  EXPECT_EQ(Status(Code::kUnavailable, details).ToString(),
            "UNAVAILABLE: no answer\n"
            "  tried: push of table ads, shard 7 at 127.0.0.1:4001, 3 "
            "attempts in 2.1 s\n"
            "  your data: unknown: on some shards applied once or not at all, "
            "never twice (4 of 5 sections accepted)\n"
            "  fix: look at the server");
}

TEST(Status, LeavesOutLinesWithNothingToSay) {
  EXPECT_EQ(Status(Code::kInvalidArgument, "bad").ToString(),
            "INVALID_ARGUMENT: bad");
}

TEST(Status, HasTheCodesOfAbseil) {
  for (int code = 0; code <= 16; ++code) {
    const std::string name =
        absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
    EXPECT_EQ(CodeName(static_cast<Code>(code)), name);
  }
}

TEST(Result, HoldsAValueOrAStatus) {
  Result<int> value = 3;
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, 3);
  Result<int> error = Status(Code::kNotFound, "gone");
  EXPECT_FALSE(error.ok());
  EXPECT_EQ(error.status().code(), Code::kNotFound);
}

TEST(ResultDeathTest, ReadingAFailedOneSaysWhy) {
  Result<int> error = Status(Code::kNotFound, "table gone");
  EXPECT_DEATH((void)*error, "table gone");
}

}  // namespace

namespace client {
namespace {

// A push to four shards whose parcels ended as each test says.
std::shared_ptr<Call> PushToFourShards() {
  static const std::vector<uint64_t> keys = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  static const std::vector<float> grads(keys.size());
  auto call = MakeCall({PushOf(MakeHandle(1, 1), keys, grads, 4)},
                       std::make_shared<Session>(1, 1, 4), absl::ZeroDuration(),
                       absl::Seconds(30), 4);
  call->progress.resize(call->parcels.size());
  return call;
}

void Refuse(Progress& progress, absl::StatusCode code, wire::Reason reason) {
  progress.error = absl::Status(code, "refused");
  progress.answer.code = static_cast<uint32_t>(code);
  progress.answer.reason = static_cast<uint32_t>(reason);
}

TEST(MakeStatus, IsOkWhenEverySectionIs) {
  EXPECT_TRUE(MakeStatus(*PushToFourShards(), absl::Seconds(1)).ok());
}

TEST(MakeStatus, ARefusalEverywhereIsNotApplied) {
  auto call = PushToFourShards();
  for (Progress& progress : call->progress) {
    progress.left = true;  // an earlier attempt got lost: same number
    Refuse(progress, absl::StatusCode::kInvalidArgument,
           wire::Reason::kNonFinite);
  }
  const Status status = MakeStatus(*call, absl::Seconds(1));
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.applied(), Applied::kNo);
  EXPECT_EQ(status.table(), "table-1");
  EXPECT_NE(status.hint().find("NaN"), std::string::npos);
}

TEST(MakeStatus, ARefusalOnOneShardIsPartlyApplied) {
  auto call = PushToFourShards();
  ASSERT_GT(call->parcels.size(), 1u);
  Refuse(call->progress[0], absl::StatusCode::kInvalidArgument,
         wire::Reason::kNonFinite);
  const Status status = MakeStatus(*call, absl::Seconds(1));
  EXPECT_EQ(status.applied(), Applied::kPartly);
  EXPECT_EQ(status.details().sections_taken + 1, status.details().sections);
}

TEST(MakeStatus, ALostAnswerIsUnknownUnlessNothingWasSent) {
  auto call = PushToFourShards();
  for (Progress& progress : call->progress) {
    progress.error = absl::DeadlineExceededError("late");
  }
  EXPECT_EQ(MakeStatus(*call, absl::Seconds(1)).applied(), Applied::kNo);
  call->progress[0].left = true;
  EXPECT_EQ(MakeStatus(*call, absl::Seconds(1)).applied(), Applied::kUnknown);
}

TEST(MakeStatus, AnExpiredSessionDoesNotSettleALostAttempt) {
  auto call = PushToFourShards();
  for (Progress& progress : call->progress) {
    progress.left = true;
    Refuse(progress, absl::StatusCode::kFailedPrecondition,
           wire::Reason::kSessionExpired);
  }
  EXPECT_EQ(MakeStatus(*call, absl::Seconds(1)).applied(), Applied::kUnknown);
}

TEST(MakeAck, TakesTheExtremesAndCounts) {
  auto call = PushToFourShards();
  ASSERT_GE(call->progress.size(), 2u);
  for (size_t i = 0; i < call->progress.size(); ++i) {
    wire::SectionReplyHeader& answer = call->progress[i].answer;
    answer.lsn = 10 + i;
    answer.clock = 5 - std::min<uint64_t>(i, 1);
    answer.replicas = i == 0 ? 3 : 2;
    answer.rows_skipped = 1;
    answer.outcome = static_cast<uint32_t>(i == 0 ? wire::Outcome::kDropped
                                                  : wire::Outcome::kApplied);
  }
  const PushAck ack = MakeAck(*call);
  EXPECT_EQ(ack.lsn, 10 + call->progress.size() - 1);
  EXPECT_EQ(ack.clock, 4u);
  EXPECT_EQ(ack.replicas, 2u);
  EXPECT_EQ(ack.rows_skipped, call->progress.size());
  EXPECT_EQ(ack.dropped, 1u);
  EXPECT_EQ(ack.applied, call->progress.size() - 1);
}

TEST(HintFor, IsNeverEmpty) {
  for (int code = 1; code <= 16; ++code) {
    for (uint32_t reason = 0; reason < wire::kReasonCount; ++reason) {
      EXPECT_NE(HintFor(static_cast<Code>(code), reason), "");
    }
  }
}

}  // namespace
}  // namespace client
}  // namespace paramo
