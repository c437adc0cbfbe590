#include <cmath>

#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

const std::map<std::string, double> kParams = {
    {"lr", 0.5}, {"beta1", 0.5}, {"beta2", 0.75}, {"eps", 1}};

TEST(Adam, TakesTheHandWorkedSteps) {
  const auto rule = MustMake("adam", kParams);
  TestRows rows(1, 1, 2);
  // t = 1: m = 0.5 x 2 = 1, v = 0.25 x 4 = 1. Corrected: rate 0.5 / 0.5 = 1,
  // v / 0.25 = 4. w = -1 x 1 / (2 + 1).
  StepOne(*rule, rows, 2);
  EXPECT_EQ(rows.header(0).step, 1u);
  EXPECT_EQ(rows.array(0, 1)[0], 1.0f);
  EXPECT_EQ(rows.array(0, 2)[0], 1.0f);
  EXPECT_EQ(rows.array(0, 0)[0], -1.0f / 3.0f);
  // t = 2: m = 0.5 + 1 = 1.5, v = 0.75 + 1 = 1.75. Rate 0.5 / 0.75 = 2/3,
  // v / (1 - 0.5625) = 4. w = -1/3 - 2/3 x 1.5 / 3 = -2/3.
  StepOne(*rule, rows, 2);
  EXPECT_EQ(rows.header(0).step, 2u);
  EXPECT_EQ(rows.array(0, 1)[0], 1.5f);
  EXPECT_EQ(rows.array(0, 2)[0], 1.75f);
  EXPECT_NEAR(rows.array(0, 0)[0], -2.0f / 3.0f, 1e-7);
}

TEST(Adam, CountsStepsPerRow) {
  // The second row is at its third step, the first at its first: their bias
  // corrections differ within one batch.
  const auto rule = MustMake("adam", kParams);
  TestRows rows(2, 1, 2);
  rows.header(1).step = 2;
  const float grad = 2;
  const float* grads[] = {&grad, &grad};
  rule->Apply({.dim = 1, .rows = rows.rows(), .grads = grads, .n = 2});
  EXPECT_EQ(rows.header(0).step, 1u);
  EXPECT_EQ(rows.header(1).step, 3u);
  EXPECT_EQ(rows.array(0, 0)[0], -1.0f / 3.0f);
  // Rate 0.5 / (1 - 1/8) = 4/7; v / (1 - 27/64) = 64/37.
  EXPECT_NEAR(rows.array(1, 0)[0], -4.0 / 7 / (std::sqrt(64.0 / 37) + 1), 1e-7);
}

TEST(Adam, StepCountStopsAtItsEnd) {
  const auto rule = MustMake("adam");
  TestRows rows(1, 1, 2);
  rows.header(0).step = ~uint32_t{0} - 1;
  StepOne(*rule, rows, 1);
  EXPECT_EQ(rows.header(0).step, ~uint32_t{0});
  EXPECT_EQ(StepOne(*rule, rows, 1), 0u);
  EXPECT_EQ(rows.header(0).step, ~uint32_t{0});
}

TEST(Adam, SkippedRowCountsNoStep) {
  const auto rule = MustMake("adam");
  TestRows rows(1, 1, 2);
  EXPECT_EQ(StepOne(*rule, rows, 1e30f), 1u);  // g^2 overflows
  EXPECT_EQ(rows.header(0).step, 0u);
}

}  // namespace
}  // namespace paramo
