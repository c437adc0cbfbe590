#include "server/coordinator/barrier.h"

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "gmock/gmock.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

using testing::HasSubstr;

class BarrierTest : public testing::Test {
 protected:
  void Arrive(WorkerId worker, const std::string& name = "b",
              absl::Duration deadline = absl::Seconds(10)) {
    size_t n = told_.size();
    told_.push_back("waits");
    barriers_.Arrive(
        worker, name, deadline,
        [this, n](const absl::Status& status) { told_[n] = status.ToString(); },
        answers_);
    Tell();
  }
  bool Settle(const std::set<WorkerId>& live, bool joined = true,
              absl::Duration now = absl::ZeroDuration()) {
    bool passed = barriers_.Settle(live, joined, now, answers_);
    Tell();
    return passed;
  }
  void Tell() {
    for (Barriers::Answer& answer : answers_) answer.done(answer.status);
    answers_.clear();
  }

  Barriers barriers_;
  std::vector<Barriers::Answer> answers_;
  std::vector<std::string> told_;  // by order of arrival
};

TEST_F(BarrierTest, OpensWhenEveryLiveWorkerIsThere) {
  Arrive(0);
  EXPECT_FALSE(Settle({0, 1}));
  EXPECT_EQ(told_[0], "waits");
  Arrive(1);
  EXPECT_TRUE(Settle({0, 1}));
  EXPECT_EQ(told_[0], "OK");
  EXPECT_EQ(told_[1], "OK");
}

TEST_F(BarrierTest, WaitsForWorkersThatHaveNotJoined) {
  Arrive(0);
  EXPECT_FALSE(Settle({0}, /*joined=*/false));
  EXPECT_TRUE(Settle({0}, /*joined=*/true));
}

TEST_F(BarrierTest, NobodyWaitsForAWorkerThatIsGone) {
  Arrive(0);
  barriers_.Leave(1, absl::NotFoundError(""), answers_);
  EXPECT_TRUE(Settle({0}));
  EXPECT_EQ(told_[0], "OK");
}

TEST_F(BarrierTest, AWorkerThatIsGoneIsToldAndCountsNoMore) {
  Arrive(0);
  barriers_.Leave(0, absl::NotFoundError("gone"), answers_);
  Tell();
  EXPECT_EQ(told_[0], "NOT_FOUND: gone");
  Arrive(1);
  EXPECT_TRUE(Settle({1}));
}

TEST_F(BarrierTest, GivesUpAtTheDeadlineNamingWhoIsMissing) {
  Arrive(0, "b", absl::Seconds(5));
  EXPECT_FALSE(Settle({0, 1, 2}, true, absl::Seconds(4)));
  EXPECT_FALSE(Settle({0, 1, 2}, true, absl::Seconds(5)));
  EXPECT_THAT(told_[0], HasSubstr("DEADLINE_EXCEEDED"));
  EXPECT_THAT(told_[0], HasSubstr("rank 1, 2"));
  Arrive(0);  // asking again is fine
  EXPECT_EQ(told_[1], "waits");
}

TEST_F(BarrierTest, APassedBarrierStaysOpen) {
  Arrive(0);
  EXPECT_TRUE(Settle({0}));
  Arrive(0);
  EXPECT_EQ(told_[1], "OK");
}

TEST_F(BarrierTest, ASecondArrivalReplacesTheFirst) {
  Arrive(0);
  Arrive(0);
  EXPECT_THAT(told_[0], HasSubstr("ABORTED"));
  EXPECT_TRUE(Settle({0}));
  EXPECT_EQ(told_[1], "OK");
}

TEST_F(BarrierTest, LimitsOpenAndRememberedBarriers) {
  for (size_t i = 0; i < kBarriersOpenMax; ++i) {
    Arrive(0, absl::StrCat("open-", i));
  }
  Arrive(0, "one-more");
  EXPECT_THAT(told_.back(), HasSubstr("RESOURCE_EXHAUSTED"));
  EXPECT_TRUE(Settle({0}));
  for (size_t i = 0; i < 2 * kBarriersPassedMax; ++i) {
    Arrive(0, absl::StrCat("b", i));
    Settle({0});
  }
  EXPECT_EQ(barriers_.passed().size(), kBarriersPassedMax);
}

TEST_F(BarrierTest, ClosingTellsEverybody) {
  Arrive(0);
  Arrive(1, "c");
  barriers_.Close(absl::UnavailableError("stops"), answers_);
  Tell();
  EXPECT_EQ(told_[0], "UNAVAILABLE: stops");
  EXPECT_EQ(told_[1], "UNAVAILABLE: stops");
}

}  // namespace
}  // namespace paramo
