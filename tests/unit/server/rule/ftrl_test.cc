#include <cmath>

#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

TEST(Ftrl, TakesTheHandWorkedSteps) {
  const auto rule =
      MustMake("ftrl", {{"lr", 0.5}, {"beta", 1}, {"l1", 1}, {"l2", 2}});
  TestRows rows(1, 1, 2);
  // n = 9, sigma = 3 / 0.5 = 6, z = 3 - 6 x 0; w = -(3 - 1) / (4 / 0.5 + 2)
  StepOne(*rule, rows, 3);
  EXPECT_EQ(rows.array(0, 1)[0], 3.0f);
  EXPECT_EQ(rows.array(0, 2)[0], 9.0f);
  EXPECT_EQ(rows.array(0, 0)[0], -2.0f / 10.0f);
  // n = 25, sigma = (5 - 3) / 0.5 = 4, z = 3 - 4 + 4 x 0.2 = -0.2: within l1.
  StepOne(*rule, rows, -4);
  EXPECT_EQ(rows.array(0, 2)[0], 25.0f);
  EXPECT_NEAR(rows.array(0, 1)[0], -0.2f, 1e-6);
  EXPECT_EQ(rows.array(0, 0)[0], 0.0f);
}

TEST(Ftrl, ValueIsAFunctionOfItsSlots) {
  const auto rule = MustMake("ftrl", {{"l1", 0.1}, {"l2", 0.01}});
  TestRows rows(1, 1, 2);
  for (const float grad : {0.5f, -0.2f, 0.9f, 0.03f, -2.0f}) {
    StepOne(*rule, rows, grad);
    const double z = rows.array(0, 1)[0], n = rows.array(0, 2)[0];
    const double expected =
        std::fabs(z) <= 0.1
            ? 0
            : -(z - std::copysign(0.1, z)) / ((1 + std::sqrt(n)) / 0.1 + 0.01);
    EXPECT_NEAR(rows.array(0, 0)[0], expected, 1e-6 * std::fabs(expected));
  }
}

TEST(Ftrl, SmallEvidenceStaysExactlyZero) {
  const auto rule = MustMake("ftrl", {{"l1", 1}});
  TestRows rows(1, 1, 2);
  for (int i = 0; i < 9; ++i) StepOne(*rule, rows, i % 2 == 0 ? 0.5f : -0.5f);
  EXPECT_EQ(rows.array(0, 0)[0], 0.0f);
  for (int i = 0; i < 9; ++i) StepOne(*rule, rows, 0.5f);
  EXPECT_LT(rows.array(0, 0)[0], 0.0f);
}

TEST(Ftrl, ScaleFreezesValuesInsteadOfPullingThemToZero) {
  // A smaller learning rate alone would shrink what was learnt.
  const auto rule = MustMake("ftrl", {{"l1", 0.01}, {"l2", 0.1}});
  TestRows rows(1, 1, 2);
  for (int i = 0; i < 5; ++i) StepOne(*rule, rows, 1);
  const float learnt = rows.array(0, 0)[0];
  const float grad = 0.5f;
  const float* grads[] = {&grad};
  for (int i = 0; i < 5; ++i) {
    rule->Apply(
        {.dim = 1, .rows = rows.rows(), .grads = grads, .n = 1, .lr_scale = 0});
  }
  EXPECT_NEAR(rows.array(0, 0)[0], learnt, 1e-6 * std::fabs(learnt));
}

}  // namespace
}  // namespace paramo
