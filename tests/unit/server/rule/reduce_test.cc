#include "server/rule/reduce.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace paramo {
namespace {

// The documented order, written out.
double Documented(const std::vector<float>& values) {
  double p[8] = {};
  for (size_t i = 0; i < values.size(); ++i) {
    p[i % 8] += static_cast<double>(values[i]) * values[i];
  }
  return ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]));
}

TEST(SumOfSquares, HasOneOrderAtEveryWidthAndLength) {
  BitGen gen(31);
  for (size_t n = 0; n <= 100; ++n) {
    std::vector<float> values(n);
    for (float& x : values) {
      x = static_cast<float>(std::ldexp(gen.Uniform() - 0.5,
                                        static_cast<int>(gen.Below(60)) - 30));
    }
    const double expected = Documented(values);
    const float* at = values.data();
    EXPECT_EQ(SumOfSquares<ScalarLanes>(at, n), expected);
    EXPECT_EQ((SumOfSquares<hn::CappedTag<float, 1>>(at, n)), expected);
    EXPECT_EQ((SumOfSquares<hn::CappedTag<float, 2>>(at, n)), expected);
    EXPECT_EQ((SumOfSquares<hn::CappedTag<float, 4>>(at, n)), expected);
    EXPECT_EQ((SumOfSquares<hn::CappedTag<float, 8>>(at, n)), expected);
    EXPECT_EQ(SumOfSquares<hn::ScalableTag<float>>(at, n), expected);
  }
}

TEST(SumOfSquares, OrderIsSeenInTheBits) {
  // 2^54 and sixteen ones; f64 counts in steps of 4 there. Number 0 loses the
  // two ones of elements 8 and 16, and p0 + p1 loses 2 (a tie, to even); then
  // 4 and 8 are added. One after the other all would be lost.
  std::vector<float> values(17, 1);
  values[0] = 0x1p27f;
  EXPECT_EQ(SumOfSquares<ScalarLanes>(values.data(), values.size()),
            0x1p54 + 12);
}

TEST(SumOfSquares, TheLargestFloatsDoNotOverflow) {
  const std::vector<float> values(64, std::numeric_limits<float>::max());
  const double square = static_cast<double>(values[0]) * values[0];
  EXPECT_EQ(SumOfSquares<hn::ScalableTag<float>>(values.data(), 64),
            64 * square);
}

}  // namespace
}  // namespace paramo
