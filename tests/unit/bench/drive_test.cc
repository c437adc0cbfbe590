#include "tests/bench/drive.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "absl/time/clock.h"
#include "common/base/mutex.h"

namespace paramo::bench {
namespace {

// Answers each request `delay` after it was sent, one at a time.
class Delayed final : public Requester {
 public:
  explicit Delayed(absl::Duration delay) : delay_(delay) {}

  absl::Status Send(size_t i) override {
    const absl::Time now = absl::Now();
    MutexLock lock(mu_);
    free_at_ = std::max(now, free_at_) + delay_;
    due_.emplace_back(i, free_at_);
    most_ = std::max(most_, due_.size());
    return absl::OkStatus();
  }
  absl::Status Wait(absl::Time deadline,
                    std::vector<size_t>& answered) override {
    if (fails_) return absl::UnavailableError("gone");
    do {
      MutexLock lock(mu_);
      if (due_.empty() || due_.front().second > absl::Now()) continue;
      answered.push_back(due_.front().first);
      due_.pop_front();
      return absl::OkStatus();
    } while (absl::Now() < deadline);
    return absl::OkStatus();
  }

  size_t most() {
    MutexLock lock(mu_);
    return most_;
  }
  size_t outstanding() {
    MutexLock lock(mu_);
    return due_.size();
  }
  void Fail() { fails_ = true; }

 private:
  const absl::Duration delay_;
  Mutex mu_;
  std::deque<std::pair<size_t, absl::Time>> due_ ABSL_GUARDED_BY(mu_);
  absl::Time free_at_ ABSL_GUARDED_BY(mu_);
  size_t most_ ABSL_GUARDED_BY(mu_) = 0;
  bool fails_ = false;
};

double NoCpu() { return 0; }

TEST(DriveTest, AClosedLoopKeepsTheWindowFullAndCountsTheWork) {
  Delayed requester(absl::Microseconds(100));
  const Load load{.in_flight = 3, .time = absl::Milliseconds(20)};
  double cpu = 0;
  const auto sample =
      Drive(requester, load, {.bytes = 10, .rows = 2}, [&] { return cpu++; });
  ASSERT_TRUE(sample.ok());
  EXPECT_EQ(requester.most(), 3u);
  EXPECT_EQ(requester.outstanding(), 0u);
  EXPECT_GE(sample->messages, 1);
  EXPECT_EQ(sample->bytes, 10 * sample->messages);
  EXPECT_EQ(sample->rows, 2 * sample->messages);
  EXPECT_EQ(sample->cpu_seconds, 1);
  EXPECT_GE(sample->seconds, 0.02);
  EXPECT_GE(sample->p50_us, 100);
  EXPECT_GE(sample->p99_us, sample->p50_us);
}

TEST(DriveTest, AnOpenLoopSendsAtItsRate) {
  Delayed requester(absl::ZeroDuration());
  const Load load{
      .in_flight = 64, .rate = 1000, .time = absl::Milliseconds(100)};
  const auto sample = Drive(requester, load, {}, NoCpu);
  ASSERT_TRUE(sample.ok());
  // 100 are due; what was due in the time before may be answered in it.
  EXPECT_GE(sample->messages, 1);
  EXPECT_LE(sample->messages, 121);
}

// 1,000 requests a second where 100 are answered: each waits behind all before
// it, and that counts, though few were in flight.
TEST(DriveTest, LatencyCountsFromWhenARequestWasDue) {
  Delayed requester(absl::Milliseconds(10));
  const Load load{
      .in_flight = 1, .rate = 1000, .time = absl::Milliseconds(200)};
  const auto sample = Drive(requester, load, {}, NoCpu);
  ASSERT_TRUE(sample.ok());
  EXPECT_EQ(requester.most(), 1u);
  EXPECT_GE(sample->p99_us, 100'000);
}

TEST(DriveTest, ARequestLongerThanTheRunIsWaitedFor) {
  Delayed requester(absl::Milliseconds(30));
  const Load load{.time = absl::Milliseconds(1)};
  const auto sample = Drive(requester, load, {}, NoCpu);
  ASSERT_TRUE(sample.ok());
  EXPECT_EQ(sample->messages, 1);
}

TEST(DriveTest, AFailureEndsTheRun) {
  Delayed requester(absl::ZeroDuration());
  requester.Fail();
  EXPECT_EQ(Drive(requester, {}, {}, NoCpu).status(),
            absl::UnavailableError("gone"));
}

}  // namespace
}  // namespace paramo::bench
