#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "common/codec/codec.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

const Codec& Int8() { return **FindCodec("int8"); }

std::vector<uint8_t> Row(float scale, std::vector<int8_t> steps) {
  std::vector<uint8_t> row(4 + steps.size());
  std::memcpy(row.data(), &scale, 4);
  std::memcpy(row.data() + 4, steps.data(), steps.size());
  return row;
}

TEST(Int8, HandWorkedRow) {
  // The largest is 254 = 127 steps of 2; -3 is 1.5 steps down: floor(-1.5 +
  // 0.5) = -1; 5 is 2.5 steps: floor(3) = 3.
  const float row[] = {254, -254, 0, -3, 5, 8};
  std::vector<uint8_t> bytes(10);
  Int8().encode(row, 6, 0, bytes.data());
  EXPECT_EQ(bytes, Row(2, {127, -127, 0, -1, 3, 4}));
  float back[6];
  Int8().decode(bytes.data(), 6, back);
  EXPECT_THAT(back, ElementsAre(254, -254, 0, -2, 6, 8));
}

TEST(Int8, WithoutASeedTheErrorIsHalfAStep) {
  BitGen gen(3);
  for (int i = 0; i < 1000; ++i) {
    float row[24], back[24];
    float largest = 0;
    for (float& value : row) {
      value = static_cast<float>(gen.Uniform() - 0.5);
      largest = std::max(largest, std::abs(value));
    }
    uint8_t bytes[28];
    Int8().encode(row, 24, 0, bytes);
    Int8().decode(bytes, 24, back);
    for (int j = 0; j < 24; ++j) {
      EXPECT_LE(std::abs(row[j] - back[j]), largest / 127 * 0.5001f);
    }
  }
}

// Whole numbers of steps are sent as they are, whatever the seed: a row that
// came from int8 goes through it unchanged.
TEST(Int8, StepsAreExact) {
  std::vector<float> row;
  for (int q = -127; q <= 127; ++q)
    row.push_back(static_cast<float>(q) * 0.25f);
  std::vector<uint8_t> bytes(4 + 255);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Int8().encode(row.data(), 255, seed << 32, bytes.data());
    std::vector<float> back(255);
    Int8().decode(bytes.data(), 255, back.data());
    EXPECT_EQ(back, row);
  }
}

TEST(Int8, RowsThatNoEncoderMakesAreNotValid) {
  const auto valid = [](float scale, std::vector<int8_t> steps) {
    return Int8().valid(Row(scale, steps).data(),
                        static_cast<uint32_t>(steps.size()));
  };
  constexpr float kMax = std::numeric_limits<float>::max();
  EXPECT_TRUE(valid(0.5f, {1, 2}));
  EXPECT_TRUE(valid(0, {0, 0}));
  EXPECT_TRUE(valid(NAN, {0, 0}));
  EXPECT_FALSE(valid(0, {0, 1}));
  EXPECT_FALSE(valid(NAN, {0, 1}));
  EXPECT_FALSE(valid(-NAN, {0, 0}));
  EXPECT_FALSE(valid(-0.0f, {0, 0}));
  EXPECT_FALSE(valid(-0.5f, {1, 2}));
  EXPECT_FALSE(valid(INFINITY, {0, 0}));
  EXPECT_FALSE(valid(INFINITY, {1, 2}));
  EXPECT_FALSE(valid(kMax, {1, 2}));    // 127 steps would be infinite
  EXPECT_FALSE(valid(1e-40f, {1, 2}));  // not a normal number
}

}  // namespace
}  // namespace paramo
