#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

TEST(RowwiseAdagrad, TakesTheHandWorkedSteps) {
  const auto rule = MustMake("rowwise_adagrad", {{"lr", 1}, {"eps", 1}});
  TestRows rows(1, 2, 1);
  TestGrads grads(1, 2);
  const RuleBatch batch{
      .dim = 2, .rows = rows.rows(), .grads = grads.grads(), .n = 1};
  // g = (1, -1): a = (1 + 1) / 2 = 1; w = -g / (1 + 1)
  grads.Set(0, 0, 1);
  grads.Set(0, 1, -1);
  rule->Apply(batch);
  EXPECT_EQ(rows.array(0, 1)[0], 1.0f);
  EXPECT_EQ(rows.array(0, 0)[0], -0.5f);
  EXPECT_EQ(rows.array(0, 0)[1], 0.5f);
  // g = (4, 0): a = 1 + 16 / 2 = 9; w0 = -0.5 - 4 / (3 + 1)
  grads.Set(0, 0, 4);
  grads.Set(0, 1, 0);
  rule->Apply(batch);
  EXPECT_EQ(rows.array(0, 1)[0], 9.0f);
  EXPECT_EQ(rows.array(0, 0)[0], -1.5f);
  EXPECT_EQ(rows.array(0, 0)[1], 0.5f);
}

TEST(RowwiseAdagrad, KeepsOneFloatPerRow) {
  const RuleInfo info = MustMake("rowwise_adagrad")->info();
  EXPECT_EQ(info.SlotFloats(1), 1u);
  EXPECT_EQ(info.SlotFloats(64), 1u);
  EXPECT_EQ(info.SlotsText(), "square_sum[1]");
  EXPECT_EQ(MustMake("adam")->info().SlotFloats(64), 128u);
  EXPECT_EQ(MustMake("sgd")->info().SlotsText(), "none");
}

TEST(RowwiseAdagrad, OfOneElementIsAdagrad) {
  const auto rowwise = MustMake("rowwise_adagrad", {{"eps", 0.5}});
  const auto adagrad = MustMake("adagrad", {{"eps", 0.5}});
  TestRows one(1, 1, 1);
  TestRows other(1, 1, 1);
  for (const float grad : {1.0f, -2.0f, 0.0f, 4.0f}) {
    StepOne(*rowwise, one, grad);
    StepOne(*adagrad, other, grad);
    EXPECT_EQ(one.array(0, 1)[0], other.array(0, 1)[0]);
    EXPECT_NEAR(one.array(0, 0)[0], other.array(0, 0)[0], 1e-8);
  }
}

TEST(RowwiseAdagrad, MeanBeyondF32LeavesTheRowUnchanged) {
  const auto rule = MustMake("rowwise_adagrad");
  TestRows rows(1, 1, 1);
  TestRows before(rows);
  EXPECT_EQ(StepOne(*rule, rows, 1e30f), 1u);
  EXPECT_EQ(rows.bytes(), before.bytes());
}

}  // namespace
}  // namespace paramo
