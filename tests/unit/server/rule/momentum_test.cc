#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

TEST(Momentum, TakesTheHandWorkedSteps) {
  const auto rule = MustMake("momentum", {{"lr", 0.5}, {"momentum", 0.5}});
  TestRows rows(1, 1, 1);
  rows.array(0, 0)[0] = 1;
  StepOne(*rule, rows, 1);  // v = 0.5 x 0 + 1 = 1; w = 1 - 0.5 x 1
  EXPECT_EQ(rows.array(0, 1)[0], 1.0f);
  EXPECT_EQ(rows.array(0, 0)[0], 0.5f);
  StepOne(*rule, rows, 1);  // v = 0.5 + 1 = 1.5; w = 0.5 - 0.75
  EXPECT_EQ(rows.array(0, 1)[0], 1.5f);
  EXPECT_EQ(rows.array(0, 0)[0], -0.25f);
  StepOne(*rule, rows, 0);  // v = 0.75; w = -0.25 - 0.375: it rolls on
  EXPECT_EQ(rows.array(0, 0)[0], -0.625f);
}

}  // namespace
}  // namespace paramo
