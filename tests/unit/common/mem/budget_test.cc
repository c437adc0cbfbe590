#include "common/mem/budget.h"

#include <gtest/gtest.h>

#include <limits>

namespace paramo {
namespace {

TEST(BudgetTest, RefusesBeyondTheBoundAndTakesBackWhatGoes) {
  Budget budget(100);
  BudgetCharge first;
  ASSERT_TRUE(budget.TryCharge(60, first));
  BudgetCharge second;
  EXPECT_FALSE(budget.TryCharge(41, second));
  EXPECT_EQ(budget.held(), 60u);
  EXPECT_TRUE(budget.TryCharge(40, second));
  EXPECT_EQ(budget.held(), 100u);
  first = BudgetCharge();
  EXPECT_EQ(budget.held(), 40u);
}

TEST(BudgetTest, HugeChargeDoesNotOverflow) {
  Budget budget(100);
  BudgetCharge charge;
  EXPECT_FALSE(budget.TryCharge(std::numeric_limits<size_t>::max(), charge));
  EXPECT_EQ(budget.held(), 0u);
}

TEST(BudgetTest, MovedChargeIsGivenBackOnce) {
  Budget budget(100);
  {
    BudgetCharge a;
    ASSERT_TRUE(budget.TryCharge(10, a));
    BudgetCharge b = std::move(a);
    EXPECT_EQ(budget.held(), 10u);
  }
  EXPECT_EQ(budget.held(), 0u);
}

}  // namespace
}  // namespace paramo
