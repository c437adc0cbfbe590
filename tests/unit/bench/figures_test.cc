#include "tests/bench/figures.h"

#include <gtest/gtest.h>

namespace paramo::bench {
namespace {

TEST(MedianTest, IsTheMiddleOrTheMeanOfTheTwoThere) {
  EXPECT_EQ(Median({}), 0);
  EXPECT_EQ(Median({7}), 7);
  EXPECT_EQ(Median({9, 1, 2}), 2);
  EXPECT_EQ(Median({9, 1, 2, 4}), 3);
}

TEST(SpreadTest, IsTheRangeInMedians) {
  EXPECT_EQ(Spread({}), 0);
  EXPECT_EQ(Spread({5}), 0);
  EXPECT_EQ(Spread({8, 10, 14}), 0.6);  // (14 - 8) / 10
}

TEST(QuantileTest, IsTheSmallestThatCoversTheShare) {
  std::vector<double> hundred;
  for (int i = 100; i >= 1; --i) hundred.push_back(i);
  EXPECT_EQ(Quantile(hundred, 0.5), 50);
  EXPECT_EQ(Quantile(hundred, 0.99), 99);
  EXPECT_EQ(Quantile(hundred, 0.999), 100);
  EXPECT_EQ(Quantile(hundred, 0), 1);
  EXPECT_EQ(Quantile({}, 0.5), 0);
}

// 1,000 requests of 2,000 rows and 4 MB in 2 s, with 3 s of CPU.
Sample Busy() {
  Sample sample;
  sample.seconds = 2;
  sample.cpu_seconds = 3;
  sample.messages = 1000;
  sample.rows = 2e6;
  sample.bytes = 4e9;
  return sample;
}

TEST(SampleTest, EveryUnitCountsItsOwn) {
  EXPECT_DOUBLE_EQ(ValueOf(Busy(), Unit::kGigabytes), 2);
  EXPECT_DOUBLE_EQ(ValueOf(Busy(), Unit::kRows), 1e6);
  EXPECT_DOUBLE_EQ(ValueOf(Busy(), Unit::kMessages), 500);
  EXPECT_DOUBLE_EQ(ValueOf(Busy(), Unit::kSeconds), 2);
  // 3 s / 2,000 thousands of rows
  EXPECT_DOUBLE_EQ(ValueOf(Busy(), Unit::kCpuPerRow), 1500);
}

TEST(SampleTest, CpuIsForTheWorkThatTheUnitCounts) {
  EXPECT_DOUBLE_EQ(CpuOf(Busy(), Unit::kGigabytes), 0.75);
  EXPECT_DOUBLE_EQ(CpuOf(Busy(), Unit::kRows), 1500);
  EXPECT_DOUBLE_EQ(CpuOf(Busy(), Unit::kMessages), 3000);
  EXPECT_DOUBLE_EQ(CpuOf(Busy(), Unit::kP99), 3000);
}

TEST(SampleTest, ARunThatDidNothingIsZero) {
  EXPECT_EQ(ValueOf(Sample(), Unit::kGigabytes), 0);
  EXPECT_EQ(CpuOf(Sample(), Unit::kRows), 0);
}

Sample Rate(double messages_per_second, bool disturbed = false) {
  Sample sample;
  sample.seconds = 1;
  sample.messages = messages_per_second;
  sample.cpu_seconds = 0.5;
  sample.disturbed = disturbed;
  return sample;
}

Line Asking(Target target) {
  Line line;
  line.name = "push";
  line.target = std::move(target);
  line.explained_in = "Why";
  return line;
}

TEST(RowTest, ComparesMedians) {
  const Row row = MakeRow(Asking(AtLeast(0.8)), {Rate(10), Rate(80), Rate(90)},
                          {Rate(100), Rate(110), Rate(50)}, "echo");
  EXPECT_EQ(row.name, "push");
  EXPECT_EQ(row.floor, "echo");
  EXPECT_EQ(row.value, 80);
  EXPECT_EQ(row.floor_value, 100);
  EXPECT_EQ(row.ratio, 0.8);
  EXPECT_TRUE(row.met);
  EXPECT_EQ(row.spread, 1);        // (90 - 10) / 80
  EXPECT_EQ(row.cpu, 6250);        // 0.5 s / 80
  EXPECT_EQ(row.floor_cpu, 5000);  // 0.5 s / 100
  EXPECT_EQ(row.explained_in, "Why");
}

TEST(RowTest, ATargetIsABoundOnOneSide) {
  const auto met = [](Target target, double value) {
    return MakeRow(Asking(std::move(target)), {Rate(value)}, {Rate(100)}, "f")
        .met;
  };
  EXPECT_FALSE(met(AtLeast(0.8), 79));
  EXPECT_TRUE(met(AtLeast(0.8), 81));
  EXPECT_TRUE(met(AtMost(1.2), 119));
  EXPECT_FALSE(met(AtMost(1.2), 121));
  EXPECT_FALSE(met({}, 100));
}

TEST(RowTest, WithoutAFloorThereIsNoRatio) {
  const Row row = MakeRow(Asking({}), {Rate(10)}, {}, "");
  EXPECT_EQ(row.value, 10);
  EXPECT_EQ(row.floor, "");
  EXPECT_EQ(row.ratio, 0);
}

TEST(RowTest, HalfOfTheRunsOfEitherMakeItNoisy) {
  const Sample quiet = Rate(1);
  const Sample disturbed = Rate(1, true);
  const auto noisy = [](std::vector<Sample> runs, std::vector<Sample> floor) {
    return MakeRow(Asking({}), runs, floor, "f").noisy;
  };
  EXPECT_FALSE(noisy({quiet, quiet, disturbed}, {quiet, quiet, quiet}));
  EXPECT_TRUE(noisy({quiet, disturbed}, {quiet, quiet}));
  EXPECT_TRUE(noisy({quiet, quiet}, {quiet, disturbed}));
}

}  // namespace
}  // namespace paramo::bench
