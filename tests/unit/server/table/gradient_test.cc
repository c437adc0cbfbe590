#include "server/table/gradient.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/table/table_test_util.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> Prepare(const TableConfig& config,
                           const std::vector<float>& grad) {
  std::vector<float> out(grad.size());
  PrepareGradient(config, {.grad = grad.data()},
                  static_cast<uint32_t>(grad.size()), out.data());
  return out;
}

TEST(PrepareGradient, NothingToDoIsKnownAhead) {
  TableConfig config = MakeConfig(2);
  EXPECT_FALSE(PreparesGradients(config, /*with_pulled=*/false));
  // Altered since the push was checked: its pulled values are not used.
  EXPECT_FALSE(PreparesGradients(config, /*with_pulled=*/true));
  config.clipping.norm = 1;
  EXPECT_TRUE(PreparesGradients(config, false));
  config = MakeConfig(2);
  config.delay_compensation = 0.5f;
  EXPECT_FALSE(PreparesGradients(config, false));
  EXPECT_TRUE(PreparesGradients(config, true));
}

TEST(PrepareGradient, ClipsByValueThenByNorm) {
  TableConfig config = MakeConfig(2);
  config.clipping.value = 4;
  EXPECT_THAT(Prepare(config, {3, -90}), ElementsAre(3, -4));
  config.clipping.norm = 2.5f;  // of (3, -4), which is 5 long
  EXPECT_THAT(Prepare(config, {3, -90}), ElementsAre(1.5f, -2));
  config.clipping.value = 0;  // (30, -40) is 50 long
  EXPECT_THAT(Prepare(config, {30, -40}), ElementsAre(1.5f, -2));
}

TEST(PrepareGradient, NonFinitePolicyIsNotClippingsBusiness) {
  TableConfig config = MakeConfig(2);
  config.policy = NonFinitePolicy::kSkipRow;
  config.clipping.value = 1;
  EXPECT_EQ(Prepare(config, {kInfinity, 9})[0], kInfinity);
  EXPECT_TRUE(std::isnan(Prepare(config, {kNaN, 9})[0]));
  config.policy = NonFinitePolicy::kClip;
  config.clip = 5;
  EXPECT_THAT(Prepare(config, {kInfinity, kNaN}), ElementsAre(1, 0));
}

TEST(PrepareGradient, CompensatesDelayBeforeClipping) {
  TableConfig config = MakeConfig(2);
  config.delay_compensation = 0.5f;
  const float grad[] = {2, -2}, pulled[] = {1, 1}, now[] = {4, -1};
  float out[2];
  // 2 + 0.5 x 4 x (4 - 1) = 8;  -2 + 0.5 x 4 x (-1 - 1) = -6
  PrepareGradient(config, {grad, pulled, now}, 2, out);
  EXPECT_THAT(out, ElementsAre(8, -6));
  config.clipping.value = 7;
  PrepareGradient(config, {grad, pulled, now}, 2, out);
  EXPECT_THAT(out, ElementsAre(7, -6));
  // Without delay it is the gradient.
  PrepareGradient(config, {grad, now, now}, 2, out);
  EXPECT_THAT(out, ElementsAre(2, -2));
}

}  // namespace
}  // namespace paramo
