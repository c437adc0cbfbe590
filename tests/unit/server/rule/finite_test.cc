#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "absl/types/span.h"
#include "server/rule/finite.h"

namespace paramo {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

TEST(AllFinite, FindsOneBadValueAnywhere) {
  for (size_t n = 0; n <= 100; ++n) {
    std::vector<float> values(n, kLargest);
    EXPECT_TRUE(AllFinite(values.data(), n));
    for (size_t i = 0; i < n; ++i) {
      for (const float bad : {kNaN, kInfinity, -kInfinity}) {
        values[i] = bad;
        EXPECT_FALSE(AllFinite(values.data(), n)) << i << " of " << n;
      }
      values[i] = -kLargest;
    }
  }
}

TEST(AllFinite, TakesAnyAlignment) {
  std::vector<char> bytes(4 * 37 + 4);
  for (size_t shift = 1; shift < 4; ++shift) {
    const auto* values = reinterpret_cast<const float*>(bytes.data() + shift);
    EXPECT_TRUE(AllFinite(values, 37));
    std::memcpy(bytes.data() + shift + 4 * 36, &kNaN, 4);
    EXPECT_FALSE(AllFinite(values, 37));
    std::fill(bytes.begin(), bytes.end(), 0);
  }
}

TEST(FirstNonFiniteRow, NamesTheFirst) {
  const float good[3] = {1, 2, 3};
  const float bad[3] = {1, 2, kInfinity};
  const float* rows[] = {good, good, bad, bad};
  EXPECT_EQ(FirstNonFiniteRow(rows, 4, 3), 2u);
  EXPECT_EQ(FirstNonFiniteRow(rows, 2, 3), 2u);
  EXPECT_EQ(FirstNonFiniteRow(rows, 4, 2), 4u);
}

TEST(ClipGradient, NaNBecomesZeroAndTheRestStaysWithin) {
  const float in[] = {kNaN, kInfinity, -kInfinity, 3, -3, 0.5f, -2};
  float out[7];
  ClipGradient(in, 2, 7, out);
  EXPECT_THAT(out, testing::ElementsAre(0, 2, -2, 2, -2, 0.5f, -2));
}

TEST(ClipFinite, BoundsWhatIsFiniteAndLeavesTheRestToTheRule) {
  float grad[] = {kInfinity, -kInfinity, 3, -3, 0.5f, -2, kNaN};
  ClipFinite(2, 7, grad);
  EXPECT_THAT(absl::MakeSpan(grad, 6),
              testing::ElementsAre(kInfinity, -kInfinity, 2, -2, 0.5f, -2));
  EXPECT_TRUE(std::isnan(grad[6]));
}

TEST(ClipNorm, ScalesLongRowsAndLeavesShortOnes) {
  float grad[] = {3, -4};
  ClipNorm(5, 2, grad);
  EXPECT_THAT(grad, testing::ElementsAre(3, -4));
  ClipNorm(2.5f, 2, grad);
  EXPECT_THAT(grad, testing::ElementsAre(1.5f, -2));
}

TEST(ClipNorm, KeepsTheDirectionOfTheLargestGradients) {
  const float largest = std::numeric_limits<float>::max();
  float grad[] = {largest, -largest, largest, largest};
  ClipNorm(1, 4, grad);
  EXPECT_THAT(grad, testing::ElementsAre(0.5f, -0.5f, 0.5f, 0.5f));
}

TEST(ClipNorm, NonFiniteRowsStayNonFinite) {
  float nan[] = {kNaN, 100};
  ClipNorm(1, 2, nan);
  EXPECT_FALSE(AllFinite(nan, 2));
  float infinite[] = {kInfinity, 100};
  ClipNorm(1, 2, infinite);
  EXPECT_FALSE(AllFinite(infinite, 2));
}

}  // namespace
}  // namespace paramo
