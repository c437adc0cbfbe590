#include "worker/step/reference_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "worker/step/schedule_factor.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::Pointwise;

JobFile PlainSgd(double lr) {
  JobFile job;
  job.rule = "sgd";
  job.rule_params = {{"lr", lr}};
  return job;
}

// Two ranks with 1 and 3 examples: mean = 1/4 a + 3/4 b.
TEST(ReferenceTable, ARoundIsTheWeightedMeanOfItsContributions) {
  ReferenceTable table(PlainSgd(1), /*dim=*/2, {0, 0, 10, 10, 20, 20});
  table.Contribute(0.25f, {2, 0}, {4, 8, 40, 80});
  table.Contribute(0.75f, {2}, {12, 16});
  table.Close(0);
  EXPECT_THAT(table.values(),
              ElementsAre(-10, -20, 10, 10, 20 - 1 - 9, 20 - 2 - 12));
  EXPECT_THAT(table.Row(1), ElementsAre(10, 10));

  table.Contribute(1, {1}, {1, 2});  // nothing is left of the round before
  table.Close(1);
  EXPECT_THAT(table.values(), ElementsAre(-10, -20, 9, 8, 10, 6));
}

TEST(ReferenceTable, TheLastRowMayBeShort) {
  ReferenceTable table(PlainSgd(1), /*dim=*/2, {0, 0, 0});
  EXPECT_EQ(table.rows(), 2u);
  table.Contribute(1, {0, 1}, {1, 2, 3});
  table.Close(0);
  EXPECT_THAT(table.values(), ElementsAre(-1, -2, -3));
}

TEST(ReferenceTable, TheScheduleTakesTheRoundsClock) {
  JobFile job = PlainSgd(1);
  job.schedule.warmup = 4;
  ReferenceTable table(job, /*dim=*/1, {0});
  for (uint64_t clock = 0; clock < 5; ++clock) {
    table.Contribute(1, {0}, {1});
    table.Close(clock);
  }
  EXPECT_THAT(table.values(), ElementsAre(-(0.25f + 0.5f + 0.75f + 1 + 1)));
}

// The mean is clipped, not what it is made of.
TEST(ReferenceTable, ClipsTheMean) {
  JobFile job = PlainSgd(1);
  job.clipping.value = 3;
  ReferenceTable table(job, /*dim=*/2, {0, 0});
  table.Contribute(0.5f, {0}, {100, 8});
  table.Contribute(0.5f, {0}, {-98, 8});
  table.Close(0);
  EXPECT_THAT(table.values(), ElementsAre(-1, -3));
}

TEST(Clip, ByValueThenByNorm) {
  std::vector<float> gradient = {30, -0.5f, 4};
  Clip({.value = 4, .norm = 0}, absl::MakeSpan(gradient));
  EXPECT_THAT(gradient, ElementsAre(4, -0.5f, 4));
  gradient = {30, -3};
  Clip({.value = 4, .norm = 2.5}, absl::MakeSpan(gradient));  // 4, -3: half
  EXPECT_THAT(gradient, ElementsAre(2, -1.5f));
  gradient = {3, 4};
  Clip({.value = 0, .norm = 5}, absl::MakeSpan(gradient));  // not longer
  EXPECT_THAT(gradient, ElementsAre(3, 4));
  Clip({}, absl::MakeSpan(gradient));
  EXPECT_THAT(gradient, ElementsAre(3, 4));
}

Schedule ReadCase(std::istringstream& line) {
  Schedule schedule;
  std::string kind, word;
  line >> kind >> word >> schedule.warmup >> word >> schedule.period >> word >>
      schedule.decay >> word >> schedule.floor;
  schedule.kind = kind == "step"     ? Schedule::Kind::kStep
                  : kind == "cosine" ? Schedule::Kind::kCosine
                                     : Schedule::Kind::kConstant;
  return schedule;
}

// tests/golden/make_schedules.py says what the lines hold. The factor meets an
// f32 learning rate, of which 1e-14 is a ten-millionth of the last place.
TEST(ScheduleFactor, IsThatOfTheGoldenVectors) {
  std::ifstream file(PARAMO_SOURCE_DIR "/tests/golden/schedules.txt");
  Schedule schedule;
  int factors = 0;
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    std::string first, bits;
    line >> first;
    if (first == "case") {
      schedule = ReadCase(line);
    } else if (first != "#") {
      line >> bits;
      const uint64_t word = std::strtoull(bits.c_str(), nullptr, 16);
      double expected;
      std::memcpy(&expected, &word, sizeof expected);
      const uint64_t clock = std::strtoull(first.c_str(), nullptr, 10);
      EXPECT_NEAR(ScheduleFactor(schedule, clock), expected, 1e-14) << text;
      ++factors;
    }
  }
  EXPECT_GT(factors, 100);
}

}  // namespace
}  // namespace paramo
