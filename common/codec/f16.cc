// IEEE 754 binary16, little-endian: 11 bits of precision between 6e-5 and
// 65,504, less below. Rounded to nearest, ties to even; finite values beyond
// +-65,504 become that.
#include <bit>
#include <cmath>
#include <limits>

#include "common/codec/halves.h"
#include "common/codec/registry.h"

namespace paramo {
namespace {

constexpr float kLargest = 65504;

struct F16 {
  static uint16_t Encode(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (bits >> 16) & 0x8000;
    const uint32_t magnitude = bits & 0x7fffffff;
    return static_cast<uint16_t>(sign | EncodeMagnitude(magnitude));
  }
  static float Decode(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t magnitude = half & 0x7fff;
    if (magnitude < 0x400) {  // a multiple of the smallest denormal
      const float value = static_cast<float>(magnitude) * 0x1p-24f;
      return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
    }
    uint32_t bits = magnitude << 13;
    bits += magnitude < 0x7c00 ? (127 - 15) << 23 : (255 - 31) << 23;
    if (magnitude > 0x7c00) bits |= 0x00400000;  // a quiet NaN
    return std::bit_cast<float>(bits | sign);
  }

  // The processor's own conversions, which round as the twin does.
  template <class D, class V>
  static auto Encode(D d, V values) {
    const auto largest = hn::Set(d, kLargest);
    const auto clamped = hn::Max(hn::Min(values, largest), hn::Neg(largest));
    const auto finite =
        hn::Le(hn::Abs(values), hn::Set(d, std::numeric_limits<float>::max()));
    const hn::Rebind<hwy::float16_t, D> d16;
    return hn::BitCast(
        hn::Rebind<uint16_t, D>(),
        hn::DemoteTo(d16, hn::IfThenElse(finite, clamped, values)));
  }
  template <class D, class V>
  static auto Decode(D d, V halves) {
    const hn::Rebind<hwy::float16_t, D> d16;
    return hn::PromoteTo(d, hn::BitCast(d16, halves));
  }

 private:
  static uint32_t EncodeMagnitude(uint32_t bits) {
    constexpr uint32_t kInfinity = 0x7f800000;
    if (bits > kInfinity) return 0x7e00 | ((bits >> 13) & 0x3ff);
    if (bits == kInfinity) return 0x7c00;
    const float value = std::bit_cast<float>(bits);
    if (value >= kLargest) return 0x7bff;
    // Below the normal ones halves are multiples of 2^-24. The sum's unit of
    // the last place is just that, and adding rounds to it.
    if (value < 0x1p-14f) {
      return std::bit_cast<uint32_t>(value + 0.5f) -
             std::bit_cast<uint32_t>(0.5f);
    }
    const uint32_t odd = (bits >> 13) & 1;
    return (bits - ((127 - 15) << 23) + 0xfff + odd) >> 13;
  }
};

}  // namespace

Codec F16Entry() {
  return HalvesEntry<F16>(
      /*id=*/1, "f16",
      // Half a unit of the last of 11 bits; the smallest denormal's half.
      {.of_value = 0x1p-11, .absolute = 0x1p-25, .largest = kLargest});
}

}  // namespace paramo
