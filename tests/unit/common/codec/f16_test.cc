#include <bit>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "common/codec/codec.h"

namespace paramo {
namespace {

uint16_t Encode(float value) {
  uint16_t half;
  (*FindCodec("f16"))->encode(&value, 1, 0, reinterpret_cast<uint8_t*>(&half));
  return half;
}

float Decode(uint16_t half) {
  float value;
  (*FindCodec("f16"))
      ->decode(reinterpret_cast<const uint8_t*>(&half), 1, &value);
  return value;
}

TEST(F16, HandWorkedValues) {
  EXPECT_EQ(Encode(1), 0x3c00);
  EXPECT_EQ(Encode(-2), 0xc000);
  EXPECT_EQ(Encode(65504), 0x7bff);
  EXPECT_EQ(Encode(1e6f), 0x7bff);  // the largest, not an infinity
  EXPECT_EQ(Encode(0x1p-24f), 0x0001);
  EXPECT_EQ(Encode(0x1p-25f), 0x0000);  // halfway to the even 0
  EXPECT_EQ(Encode(0x1.000002p-25f), 0x0001);
  EXPECT_EQ(Encode(1 + 0x1p-11f), 0x3c00);  // halfway, to the even one
  EXPECT_EQ(Encode(1 + 0x3p-11f), 0x3c02);
  EXPECT_EQ(Encode(0x1.ff8p-15f), 0x03ff);  // the largest denormal
  EXPECT_EQ(Encode(0x1.fffp-15f), 0x0400);  // rounds to the least normal
}

TEST(F16, EveryHalfSurvivesARoundTripInVectorsAndAlone) {
  const Codec& codec = **FindCodec("f16");
  std::vector<uint16_t> halves(1 << 16), back(1 << 16), alone(1 << 16);
  std::vector<float> floats(1 << 16), twins(1 << 16);
  for (uint32_t i = 0; i < halves.size(); ++i) {
    halves[i] = static_cast<uint16_t>(i);
  }
  const auto bytes = [](std::vector<uint16_t>& of) {
    return reinterpret_cast<uint8_t*>(of.data());
  };
  codec.decode(bytes(halves), 1 << 16, floats.data());
  codec.decode_scalar(bytes(halves), 1 << 16, twins.data());
  codec.encode(floats.data(), 1 << 16, 0, bytes(back));
  codec.encode_scalar(floats.data(), 1 << 16, 0, bytes(alone));
  for (uint32_t i = 0; i < halves.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]),
              std::bit_cast<uint32_t>(twins[i]));
    ASSERT_EQ(back[i], alone[i]);
    // A NaN comes back quiet.
    const bool nan = (i & 0x7fff) > 0x7c00;
    ASSERT_EQ(back[i], nan ? i | 0x0200 : i);
  }
  EXPECT_EQ(Decode(0x7c00), INFINITY);
}

}  // namespace
}  // namespace paramo
