#include "worker/step/step_meter.h"

#include <gtest/gtest.h>

namespace paramo {
namespace {

TEST(StepMeter, KnowsNothingBeforeTheFirstStep) {
  StepMeter meter;
  EXPECT_EQ(meter.Summarize(absl::Seconds(1)).loss, 0);
  EXPECT_EQ(meter.Summarize(absl::Seconds(1)).step_ms_p99, 0);
}

TEST(StepMeter, PercentilesAreNearestRank) {
  StepMeter meter;
  for (int i = 100; i >= 1; --i) {
    meter.Add(absl::Milliseconds(500), i, absl::Milliseconds(i), {});
  }
  StepMeter::Summary summary = meter.Summarize(absl::Milliseconds(500));
  EXPECT_DOUBLE_EQ(summary.loss, 50.5);
  EXPECT_DOUBLE_EQ(summary.step_ms_p50, 50);
  EXPECT_DOUBLE_EQ(summary.step_ms_p99, 99);
}

TEST(StepMeter, ForgetsWhatIsOlderThanASecond) {
  StepMeter meter;
  meter.Add(absl::Seconds(1), 8, absl::Milliseconds(80), {});
  meter.Add(absl::Seconds(5), 1, absl::Milliseconds(10), {});
  meter.Add(absl::Milliseconds(5500), 3, absl::Milliseconds(30), {});
  StepMeter::Summary summary = meter.Summarize(absl::Seconds(6));
  EXPECT_DOUBLE_EQ(summary.loss, 2);
  EXPECT_DOUBLE_EQ(summary.step_ms_p50, 10);
  EXPECT_DOUBLE_EQ(summary.step_ms_p99, 30);
}

TEST(StepMeter, TellsWhereTheTimeGoes) {
  StepMeter meter;
  StepTimes times;
  times.input = absl::Milliseconds(1);
  times.pull = absl::Milliseconds(2);
  times.compute = absl::Milliseconds(10);
  times.push = absl::Milliseconds(4);
  times.wait = absl::Milliseconds(6);
  meter.Add(absl::Seconds(1), 0, absl::Milliseconds(17), times);
  times.compute = absl::Milliseconds(20);
  meter.Add(absl::Seconds(1), 0, absl::Milliseconds(27), times);
  const StepMeter::Summary summary = meter.Summarize(absl::Seconds(1));
  EXPECT_DOUBLE_EQ(summary.input_ms, 1);
  EXPECT_DOUBLE_EQ(summary.pull_ms, 2);
  EXPECT_DOUBLE_EQ(summary.compute_ms, 15);
  EXPECT_DOUBLE_EQ(summary.push_ms, 4);
  EXPECT_DOUBLE_EQ(summary.wait_ms, 6);
}

TEST(StepMeter, KeepsTheNewestStepHoweverOld) {
  StepMeter meter;
  meter.Add(absl::Seconds(1), 8, absl::Milliseconds(80), {});
  meter.Add(absl::Seconds(2), 7, absl::Milliseconds(70), {});
  EXPECT_DOUBLE_EQ(meter.Summarize(absl::Seconds(60)).loss, 7);
}

}  // namespace
}  // namespace paramo
