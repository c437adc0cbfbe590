#include "worker/model/initial_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "server/rule/initializer.h"

namespace paramo {
namespace {

TensorInfo Weights(uint32_t in, uint32_t out) {
  return {"w0", {in, out}, TensorInfo::Init::kXavier, in, out};
}

// The servers' initializer, row by row as a pull would bring it.
std::vector<float> AsServed(const TensorInfo& tensor, uint64_t seed,
                            size_t block) {
  Initializer initializer;
  initializer.kind = Initializer::Kind::kXavier;
  initializer.fan_in = tensor.fan_in;
  initializer.fan_out = tensor.fan_out;
  std::vector<float> values;
  for (Key key = 0; values.size() < tensor.elements(); ++key) {
    std::vector<float> row(block);
    initializer.Fill(seed, key, row.data(), static_cast<uint32_t>(block));
    values.insert(values.end(), row.begin(), row.end());
  }
  values.resize(tensor.elements());
  return values;
}

TEST(InitialWeights, EqualTheServersBitForBit) {
  for (size_t block : {1, 7, 256, 1024}) {
    for (uint64_t seed : {1ull, 0xdeadbeefull, ~0ull}) {
      EXPECT_EQ(InitialWeights(Weights(57, 31), seed, block),
                AsServed(Weights(57, 31), seed, block))
          << "block " << block << " seed " << seed;
    }
  }
}

TEST(InitialWeights, BiasesAreZero) {
  TensorInfo bias{"b0", {5}};
  EXPECT_EQ(InitialWeights(bias, 3, 1024), std::vector<float>(5));
}

TEST(InitialWeights, XavierHasTheWidthAndVarianceOfThePaper) {
  const TensorInfo tensor = Weights(300, 200);
  const double width = std::sqrt(6.0 / 500);
  double sum = 0, squares = 0;
  for (float value : InitialWeights(tensor, 9, 1024)) {
    ASSERT_LE(std::abs(value), width);
    sum += value;
    squares += double{value} * value;
  }
  // Mean 0 and variance width^2 / 3, each within 5 standard errors of 60,000.
  EXPECT_NEAR(sum / 60000, 0, 5 * width / std::sqrt(3.0 * 60000));
  EXPECT_NEAR(squares / 60000, width * width / 3,
              5 * width * width * 0.3 / std::sqrt(60000.0));
}

}  // namespace
}  // namespace paramo
