#include "server/rule/schedule.h"

#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace paramo {
namespace {

Schedule::Kind KindOf(const std::string& name) {
  if (name == "step") return Schedule::Kind::kStep;
  if (name == "cosine") return Schedule::Kind::kCosine;
  return Schedule::Kind::kConstant;
}

TEST(Schedule, MatchesTheGoldenFactorsBitForBit) {
  std::ifstream file(PARAMO_SOURCE_DIR "/tests/golden/schedules.txt");
  Schedule schedule;
  size_t checked = 0;
  for (std::string text; std::getline(file, text);) {
    if (text.empty() || text[0] == '#') continue;
    std::istringstream line(text);
    if (text.rfind("case ", 0) == 0) {
      std::string word, kind;
      line >> word >> kind >> word >> schedule.warmup >> word >>
          schedule.period >> word >> schedule.decay >> word >> schedule.floor;
      ASSERT_FALSE(line.fail()) << text;
      schedule.kind = KindOf(kind);
      ASSERT_TRUE(schedule.Validate().ok()) << text;
      continue;
    }
    WorkerClock clock;
    std::string bits;
    line >> clock >> bits;
    const uint64_t word = std::stoull(bits, nullptr, 16);
    double expected;
    std::memcpy(&expected, &word, sizeof(expected));
    ASSERT_EQ(schedule.Factor(clock), expected) << text;
    ++checked;
  }
  EXPECT_GT(checked, 200u);
}

TEST(Schedule, DefaultIsOneForEver) {
  EXPECT_EQ(Schedule{}.Factor(0), 1.0);
  EXPECT_EQ(Schedule{}.Factor(~WorkerClock{0}), 1.0);
}

TEST(Schedule, WarmupComesBeforeTheOthers) {
  // Four clocks up, then halves every two.
  const Schedule schedule{
      .kind = Schedule::Kind::kStep, .warmup = 4, .period = 2, .decay = 0.5};
  const double expected[] = {0.25, 0.5, 0.75, 1, 1, 1, 0.5, 0.5, 0.25};
  for (WorkerClock clock = 0; clock < 9; ++clock) {
    EXPECT_EQ(schedule.Factor(clock), expected[clock]) << clock;
  }
}

TEST(Schedule, CosineFallsAndStaysWithinItsBounds) {
  const Schedule schedule{
      .kind = Schedule::Kind::kCosine, .period = 1000, .floor = 0.1};
  EXPECT_EQ(schedule.Factor(0), 1.0);
  for (WorkerClock clock = 0; clock < 1000; ++clock) {
    ASSERT_GT(schedule.Factor(clock), schedule.Factor(clock + 1)) << clock;
  }
  EXPECT_EQ(schedule.Factor(1000), 0.1);
  EXPECT_EQ(schedule.Factor(5000), 0.1);
}

TEST(Schedule, RefusesWhatIsNoSchedule) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const WorkerClock beyond = (WorkerClock{1} << 53) + 1;
  const Schedule bad[] = {
      {.kind = static_cast<Schedule::Kind>(3)},
      {.warmup = beyond},
      {.kind = Schedule::Kind::kStep, .period = beyond, .decay = 0.5},
      {.kind = Schedule::Kind::kStep, .period = 0, .decay = 0.5},
      {.kind = Schedule::Kind::kCosine, .period = 0},
      {.kind = Schedule::Kind::kStep, .period = 1, .decay = 1.5},
      {.kind = Schedule::Kind::kStep, .period = 1, .decay = -0.1},
      {.kind = Schedule::Kind::kStep, .period = 1, .decay = nan},
      {.kind = Schedule::Kind::kCosine, .period = 1, .floor = nan},
      {.kind = Schedule::Kind::kCosine, .period = 1, .floor = 2},
  };
  for (const Schedule& schedule : bad) {
    EXPECT_EQ(schedule.Validate().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace paramo
