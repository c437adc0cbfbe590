#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

TEST(Nesterov, TakesTheHandWorkedSteps) {
  const auto rule = MustMake("nesterov", {{"lr", 0.5}, {"momentum", 0.5}});
  TestRows rows(1, 1, 1);
  rows.array(0, 0)[0] = 1;
  StepOne(*rule, rows, 1);  // v = 1; w = 1 - 0.5 (1 + 0.5 x 1)
  EXPECT_EQ(rows.array(0, 1)[0], 1.0f);
  EXPECT_EQ(rows.array(0, 0)[0], 0.25f);
  StepOne(*rule, rows, 1);  // v = 1.5; w = 0.25 - 0.5 (1 + 0.75)
  EXPECT_EQ(rows.array(0, 1)[0], 1.5f);
  EXPECT_EQ(rows.array(0, 0)[0], -0.625f);
}

TEST(Nesterov, WithoutMomentumIsSgd) {
  const auto rule = MustMake("nesterov", {{"lr", 0.25}, {"momentum", 0}});
  TestRows rows(1, 1, 1);
  StepOne(*rule, rows, 2);
  StepOne(*rule, rows, 4);
  EXPECT_EQ(rows.array(0, 0)[0], -1.5f);
}

}  // namespace
}  // namespace paramo
