// bfloat16, little-endian: the upper half of a binary32, so its range with 8
// bits of precision. Rounded to nearest, ties to even; finite values that would
// become an infinity become the largest finite one.
#include <bit>

#include "common/codec/halves.h"
#include "common/codec/registry.h"

namespace paramo {
namespace {

constexpr uint32_t kInfinity = 0x7f800000;
// The largest whose upper half is finite.
constexpr uint32_t kLargest = 0x7f7fffff;
constexpr uint32_t kQuiet = 0x00400000;  // bit of a NaN that raises nothing

struct Bf16 {
  static uint16_t Encode(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = bits & 0x7fffffff;
    uint32_t rounded = magnitude + 0x7fff + ((magnitude >> 16) & 1);
    if (rounded > kLargest) rounded = kLargest;
    if (magnitude == kInfinity) rounded = kInfinity;
    if (magnitude > kInfinity) rounded = magnitude | kQuiet;
    return static_cast<uint16_t>((rounded | (bits & 0x80000000)) >> 16);
  }
  static float Decode(uint16_t half) {
    return std::bit_cast<float>(static_cast<uint32_t>(half) << 16);
  }

  template <class D, class V>
  static auto Encode(D, V values) {
    const hn::RebindToSigned<D> di;  // magnitudes are below 2^31
    const auto bits = hn::BitCast(di, values);
    const auto magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
    const auto odd = hn::And(hn::ShiftRight<16>(magnitude), hn::Set(di, 1));
    const auto infinity = hn::Set(di, kInfinity);
    // Those above kLargest are handled as that: the sum does not overflow.
    auto rounded = hn::Min(hn::Add(hn::Min(magnitude, hn::Set(di, kLargest)),
                                   hn::Add(hn::Set(di, 0x7fff), odd)),
                           hn::Set(di, kLargest));
    rounded = hn::IfThenElse(hn::Eq(magnitude, infinity), infinity, rounded);
    rounded = hn::IfThenElse(hn::Gt(magnitude, infinity),
                             hn::Or(magnitude, hn::Set(di, kQuiet)), rounded);
    const hn::RebindToUnsigned<D> du;
    const auto sign = hn::And(hn::BitCast(du, values), hn::Set(du, 0x80000000));
    const auto word = hn::Or(hn::BitCast(du, rounded), sign);
    const hn::Rebind<uint16_t, D> d16;
    return hn::DemoteTo(d16, hn::BitCast(di, hn::ShiftRight<16>(word)));
  }
  template <class D, class V>
  static auto Decode(D d, V halves) {
    const hn::RebindToUnsigned<D> du;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, halves)));
  }
};

}  // namespace

Codec Bf16Entry() {
  return HalvesEntry<Bf16>(
      /*id=*/2, "bf16",
      // Half a unit of the last of 8 bits; the smallest denormal's half.
      {.of_value = 0x1p-8,
       .absolute = 0x1p-134,
       .largest = Bf16::Decode(0x7f7f)});
}

}  // namespace paramo
