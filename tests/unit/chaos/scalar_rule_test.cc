#include "tests/chaos/scalar_rule.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>

#include "common/base/random.h"
#include "server/rule/row_header.h"
#include "server/rule/rule.h"

namespace paramo::chaos {
namespace {

// A row of dimension 1 as the server keeps it.
struct ServerRow {
  RowHeader header = {};
  std::array<float, 3> floats = {};  // value, slots
};

// By hand, in decimal: lr = 0.1, g = 2, then 1.
//   a = 4: w = -0.1 x 2/2 = -0.1;  a = 5: w = -0.1 - 0.1/sqrt(5) = -0.1447214
TEST(ScalarRule, AdagradByHand) {
  ScalarRow row;
  const ScalarRule rule("adagrad");
  rule.Apply(2, row);
  EXPECT_NEAR(row.value, -0.1, 1e-6);
  rule.Apply(1, row);
  EXPECT_NEAR(row.value, -0.1447214, 1e-6);
}

// The first step of Adam is lr long whatever the gradient; the second, with
// g = 2, then 1: m = 0.28, v = 0.0496, corrected by 0.19 and 0.0199:
//   w = -0.01 - 0.01 x 1.473684 / sqrt(2.492462) = -0.0193345
TEST(ScalarRule, AdamByHand) {
  ScalarRow row;
  const ScalarRule rule("adam");
  rule.Apply(2, row);
  EXPECT_NEAR(row.value, -0.01, 1e-6);
  rule.Apply(1, row);
  EXPECT_NEAR(row.value, -0.0193345, 1e-6);
}

// What the servers run gives the same bits, so far as one can see.
TEST(ScalarRule, AgreesWithTheServersBitForBit) {
  for (const char* name : {"sgd", "adagrad", "adam"}) {
    const ScalarRule rule(name);
    auto server = MakeRule(name, rule.params());
    ASSERT_TRUE(server.ok()) << server.status();
    BitGen random(7);
    ServerRow theirs;
    ScalarRow ours;
    for (int i = 0; i < 20'000; ++i) {
      const float gradient = rule.Gradient(random.Next());
      rule.Apply(gradient, ours);
      std::byte* const rows[] = {reinterpret_cast<std::byte*>(&theirs)};
      const float* const grads[] = {&gradient};
      (*server)->Apply({.dim = 1, .rows = rows, .grads = grads, .n = 1});
      ASSERT_EQ(std::bit_cast<uint32_t>(ours.value),
                std::bit_cast<uint32_t>(theirs.floats[0]))
          << name << " step " << i;
    }
  }
}

TEST(ScalarRule, AStepThatOverflowsLeavesTheRow) {
  const ScalarRule rule("adagrad");
  ScalarRow row;
  rule.Apply(1, row);
  const float before = row.value;
  rule.Apply(std::numeric_limits<float>::max(), row);
  EXPECT_EQ(row.value, before);
  EXPECT_EQ(row.square, 1);
}

TEST(ScalarRule, RowsOfSgdCountPushes) {
  const ScalarRule rule("sgd");
  ScalarRow row;
  for (uint64_t n = 0; n < 5; ++n) rule.Apply(rule.Gradient(n), row);
  EXPECT_EQ(row.value, 5);
}

TEST(ScalarRule, OrderShowsWhereRowsRemember) {
  for (const char* name : {"adagrad", "adam"}) {
    const ScalarRule rule(name);
    ScalarRow one, other;
    for (uint64_t n : {0, 1, 2}) rule.Apply(rule.Gradient(n), one);
    for (uint64_t n : {0, 2, 1}) rule.Apply(rule.Gradient(n), other);
    EXPECT_NE(one.value, other.value) << name;
    EXPECT_LE(std::fabs(rule.Gradient(0)), 2) << name;
  }
}

}  // namespace
}  // namespace paramo::chaos
