#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

TEST(Sgd, TakesTheHandWorkedStep) {
  const auto rule = MustMake("sgd", {{"lr", 0.25}});
  TestRows rows(1, 1, 0);
  rows.array(0, 0)[0] = 1;
  StepOne(*rule, rows, 0.5f);  // 1 - 0.25 x 0.5
  EXPECT_EQ(rows.array(0, 0)[0], 0.875f);
}

TEST(Sgd, RoundsOnce) {
  // lr g = (1 + 2^-23)^2 = 1 + 2^-22 + 2^-46. From 1 + 2^-22 the exact
  // difference is -2^-46; rounding the product first would give 0.
  const float x = 1 + 0x1p-23f;
  const auto rule = MustMake("sgd", {{"lr", x}});
  TestRows rows(1, 1, 0);
  rows.array(0, 0)[0] = 1 + 0x1p-22f;
  StepOne(*rule, rows, x);
  EXPECT_EQ(rows.array(0, 0)[0], -0x1p-46f);
}

TEST(Sgd, CountsExactlyWithRateOneAndIntegers) {
  // The ledger of exactly-once tests rests on it: exact up to 2^24.
  const auto rule = MustMake("sgd", {{"lr", 1}});
  TestRows rows(1, 1, 0);
  rows.array(0, 0)[0] = (1 << 24) - 3;
  for (int i = 0; i < 3; ++i) StepOne(*rule, rows, -1);
  EXPECT_EQ(rows.array(0, 0)[0], 1 << 24);
}

}  // namespace
}  // namespace paramo
