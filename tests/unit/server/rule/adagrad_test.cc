#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

TEST(Adagrad, TakesTheHandWorkedSteps) {
  const auto rule = MustMake("adagrad", {{"lr", 1}, {"eps", 1}});
  TestRows rows(1, 1, 1);
  StepOne(*rule, rows, 3);  // a = 9; w = 0 - 3 / (3 + 1): eps is outside
  EXPECT_EQ(rows.array(0, 1)[0], 9.0f);
  EXPECT_EQ(rows.array(0, 0)[0], -0.75f);
  StepOne(*rule, rows, 4);  // a = 9 + 16 = 25; w = -0.75 - 4 / (5 + 1)
  EXPECT_EQ(rows.array(0, 1)[0], 25.0f);
  EXPECT_EQ(rows.array(0, 0)[0], -0.75f - 4.0f / 6.0f);
}

TEST(Adagrad, ZeroGradientOfFreshRowIsNoStep) {
  // 0 / (sqrt(0) + eps): what an eps of zero would make a NaN.
  const auto rule = MustMake("adagrad", {{"eps", 1e-30}});
  TestRows rows(1, 1, 1);
  rows.array(0, 0)[0] = 0.5f;
  EXPECT_EQ(StepOne(*rule, rows, 0), 0u);
  EXPECT_EQ(rows.array(0, 0)[0], 0.5f);
}

}  // namespace
}  // namespace paramo
