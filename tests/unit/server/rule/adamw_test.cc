#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

TEST(Adamw, DecaysTheValueBesideTheGradient) {
  const auto rule = MustMake("adamw", {{"lr", 0.5},
                                       {"beta1", 0.5},
                                       {"beta2", 0.75},
                                       {"eps", 1},
                                       {"weight_decay", 0.5}});
  TestRows rows(1, 1, 2);
  rows.array(0, 0)[0] = 4;
  // Adam's step of adam_test.cc is -1/3; decay keeps 1 - 0.5 x 0.5 of 4. The
  // decay is not in m: m = 0.5 x 2.
  StepOne(*rule, rows, 2);
  EXPECT_EQ(rows.array(0, 1)[0], 1.0f);
  EXPECT_NEAR(rows.array(0, 0)[0], 3 - 1.0f / 3.0f, 1e-6);
}

TEST(Adamw, ZeroGradientOnlyDecays) {
  const auto rule = MustMake("adamw", {{"lr", 0.5}, {"weight_decay", 0.5}});
  TestRows rows(1, 1, 2);
  rows.array(0, 0)[0] = 4;
  StepOne(*rule, rows, 0);
  EXPECT_EQ(rows.array(0, 0)[0], 3.0f);
}

TEST(Adamw, WithoutDecayHasTheBitsOfAdam) {
  const auto adamw = MustMake("adamw", {{"weight_decay", 0}});
  const auto adam = MustMake("adam");
  TestRows one(1, 1, 2);
  one.array(0, 0)[0] = 0.7f;
  TestRows other(one);
  for (const float grad : {0.1f, -3.0f, 0.0f, 7.3f}) {
    StepOne(*adamw, one, grad);
    StepOne(*adam, other, grad);
    EXPECT_EQ(one.bytes(), other.bytes());
  }
}

}  // namespace
}  // namespace paramo
