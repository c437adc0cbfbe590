#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "common/codec/codec.h"

namespace paramo {
namespace {

uint16_t Encode(float value) {
  uint16_t half;
  (*FindCodec("bf16"))->encode(&value, 1, 0, reinterpret_cast<uint8_t*>(&half));
  return half;
}

TEST(Bf16, HandWorkedValues) {
  EXPECT_EQ(Encode(1), 0x3f80);
  EXPECT_EQ(Encode(-2), 0xc000);
  EXPECT_EQ(Encode(1 + 0x1p-8f), 0x3f80);  // halfway, to the even one
  EXPECT_EQ(Encode(1 + 0x3p-8f), 0x3f82);
  EXPECT_EQ(Encode(1 + 0x1.001p-8f), 0x3f81);
  EXPECT_EQ(Encode(std::numeric_limits<float>::max()), 0x7f7f);
  EXPECT_EQ(Encode(-std::numeric_limits<float>::max()), 0xff7f);
  EXPECT_EQ(Encode(-INFINITY), 0xff80);
  EXPECT_EQ(Encode(NAN) & 0x7fc0, 0x7fc0);
}

}  // namespace
}  // namespace paramo
