#include <cmath>

#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

TEST(Rmsprop, TakesTheHandWorkedSteps) {
  const auto rule = MustMake("rmsprop", {{"lr", 1}, {"rho", 0.75}, {"eps", 1}});
  TestRows rows(1, 1, 1);
  StepOne(*rule, rows, 4);  // s = 0.25 x 16 = 4; w = -4 / (2 + 1)
  EXPECT_EQ(rows.array(0, 1)[0], 4.0f);
  EXPECT_EQ(rows.array(0, 0)[0], -4.0f / 3.0f);
  StepOne(*rule, rows, 0);  // s = 3; a zero gradient moves nothing
  EXPECT_EQ(rows.array(0, 1)[0], 3.0f);
  EXPECT_EQ(rows.array(0, 0)[0], -4.0f / 3.0f);
}

TEST(Rmsprop, ForgetsWhereAdagradDoesNot) {
  // Equal gradients: rmsprop's mean square tends to g^2, so steps tend to lr.
  const auto rule = MustMake("rmsprop", {{"lr", 1}, {"rho", 0.5}});
  TestRows rows(1, 1, 1);
  for (int i = 0; i < 40; ++i) StepOne(*rule, rows, 3);
  const float before = rows.array(0, 0)[0];
  StepOne(*rule, rows, 3);
  EXPECT_NEAR(before - rows.array(0, 0)[0], 1, 1e-5);
}

}  // namespace
}  // namespace paramo
