#include "server/coordinator/awake_time.h"

#include "gtest/gtest.h"

namespace paramo {
namespace {

TEST(AwakeTime, FollowsAClockThatIsReadOften) {
  FakeClock clock;
  AwakeTime time(clock);
  for (int i = 0; i < 100; ++i) {
    clock.Advance(absl::Milliseconds(20));
    time.Now();
  }
  EXPECT_EQ(time.Now(), absl::Seconds(2));
}

TEST(AwakeTime, AStallCountsAsOneStep) {
  FakeClock clock;
  AwakeTime time(clock);
  clock.Advance(absl::Hours(1));
  EXPECT_EQ(time.Now(), kAwakeStepMax);
}

}  // namespace
}  // namespace paramo
