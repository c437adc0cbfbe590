// 8-bit integers under a scale per row: f32 scale, then [dim] int8 q; the value
// is scale x q. q = floor(value / scale + u), with u uniform in (0, 1) from the
// seed, so that the expectation is the value, or u = 1/2: the nearest.
//
//   scale  largest |value| / 127; 0 for a row of zeros, and for one below
//          2^-119, where the scale would not be a normal number
//          a quiet NaN (0x7fc00000) for a row with a NaN or an infinity
//
// Source: Alistarh et al. 2017 (QSGD), with the maximum norm.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/base/random.h"
#include "common/base/simd.h"
#include "common/codec/registry.h"

namespace paramo {
namespace {

constexpr int kSteps = 127;
constexpr float kMax = std::numeric_limits<float>::max();
// The largest scale of which 127 steps are finite.
constexpr float kScaleMax = 0x1.020406p+121f;
static_assert(kScaleMax * kSteps <= kMax);
constexpr float kTiny = 0x1p-119f;
constexpr uint32_t kNotFinite = 0x7fc00000;

constexpr size_t kScaleBytes = sizeof(float);

// What of a row all its values share.
struct RowScale {
  float scale;
  float steps;  // 1 / scale
};

// `magnitude`: the bits of the largest |value|, which order as the values do,
// NaN and infinity last.
RowScale ScaleOf(uint32_t magnitude) {
  if (magnitude > std::bit_cast<uint32_t>(kMax)) {
    return {std::bit_cast<float>(kNotFinite), 0};
  }
  const float largest = std::bit_cast<float>(magnitude);
  if (largest < kTiny) return {0, 0};
  return {std::min(largest / kSteps, kScaleMax), kSteps / largest};
}

// 16 bits and a half, in 1/65536: with these a value that is a whole number of
// steps stays as it is, and so do zeros.
struct Dither {
  static constexpr uint32_t kIncrement = 0x9e3779b9;
  uint32_t seed;  // 0: always 1/2

  explicit Dither(uint64_t seed)
      : seed(static_cast<uint32_t>(seed >> 32) | (seed != 0 ? 1 : 0)) {}

  float At(uint32_t i) const {
    if (seed == 0) return 0.5f;
    uint32_t x = seed + i * kIncrement;
    x = (x ^ (x >> 16)) * 0x85ebca6bu;  // MurmurHash3's finaliser
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    return (static_cast<float>(x >> 16) + 0.5f) * 0x1p-16f;
  }

  // The same for a vector of them, of `counter` = seed + i x kIncrement.
  template <class D, class V>
  auto At(D d, V counter) const {
    if (seed == 0) return hn::Set(d, 0.5f);
    const hn::RebindToUnsigned<D> du;
    const hn::RebindToSigned<D> di;
    auto x = counter;
    x = hn::Mul(hn::Xor(x, hn::ShiftRight<16>(x)), hn::Set(du, 0x85ebca6bu));
    x = hn::Mul(hn::Xor(x, hn::ShiftRight<13>(x)), hn::Set(du, 0xc2b2ae35u));
    const auto high = hn::ConvertTo(d, hn::BitCast(di, hn::ShiftRight<16>(x)));
    return hn::Mul(hn::Add(high, hn::Set(d, 0.5f)), hn::Set(d, 0x1p-16f));
  }
};

uint32_t MagnitudeOf(const float* row, uint32_t i) {
  return std::bit_cast<uint32_t>(LoadFloat(row, i)) & 0x7fffffff;
}

void EncodeFrom(uint32_t begin, const float* row, uint32_t dim, float steps,
                Dither dither, uint8_t* out) {
  for (uint32_t i = begin; i < dim; ++i) {
    const float q = std::floor(LoadFloat(row, i) * steps + dither.At(i));
    out[i] =
        static_cast<uint8_t>(std::clamp(static_cast<int>(q), -kSteps, kSteps));
  }
}

void DecodeFrom(uint32_t begin, const uint8_t* row, uint32_t dim, float scale,
                float* out) {
  for (uint32_t i = begin; i < dim; ++i) {
    const float value = scale * static_cast<float>(static_cast<int8_t>(row[i]));
    std::memcpy(out + i, &value, sizeof(value));
  }
}

// Writes the scale, and the values unless all are 0. True: they are left to do.
bool Begin(const RowScale& scale, uint32_t dim, uint8_t* out) {
  std::memcpy(out, &scale.scale, kScaleBytes);
  if (scale.steps != 0) return true;
  std::memset(out + kScaleBytes, 0, dim);
  return false;
}

void EncodeScalar(const float* row, uint32_t dim, uint64_t seed, uint8_t* out) {
  uint32_t magnitude = 0;
  for (uint32_t i = 0; i < dim; ++i) {
    magnitude = std::max(magnitude, MagnitudeOf(row, i));
  }
  const RowScale scale = ScaleOf(magnitude);
  if (!Begin(scale, dim, out)) return;
  EncodeFrom(0, row, dim, scale.steps, Dither(seed), out + kScaleBytes);
}

void Encode(const float* row, uint32_t dim, uint64_t seed, uint8_t* out) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<int8_t, decltype(d)> d8;
  const uint32_t lanes = hn::Lanes(d);

  auto magnitudes = hn::Zero(di);
  uint32_t i = 0;
  for (; i + lanes <= dim; i += lanes) {
    const auto bits = hn::BitCast(di, hn::Abs(hn::LoadU(d, row + i)));
    magnitudes = hn::Max(magnitudes, bits);
  }
  auto magnitude =
      static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(di, magnitudes)));
  for (; i < dim; ++i) magnitude = std::max(magnitude, MagnitudeOf(row, i));
  const RowScale scale = ScaleOf(magnitude);
  if (!Begin(scale, dim, out)) return;
  out += kScaleBytes;

  const Dither dither(seed);
  const auto steps = hn::Set(d, scale.steps);
  const auto least = hn::Set(di, -kSteps);
  const hn::RebindToUnsigned<decltype(d)> du;
  const auto increment = hn::Set(du, lanes * Dither::kIncrement);
  auto counter =
      hn::Add(hn::Set(du, dither.seed),
              hn::Mul(hn::Iota(du, 0), hn::Set(du, Dither::kIncrement)));
  for (i = 0; i + lanes <= dim; i += lanes) {
    const auto exact = hn::Mul(hn::LoadU(d, row + i), steps);
    const auto q =
        hn::ConvertTo(di, hn::Floor(hn::Add(exact, dither.At(d, counter))));
    counter = hn::Add(counter, increment);
    // DemoteTo cuts at 127.
    hn::StoreU(hn::DemoteTo(d8, hn::Max(q, least)), d8,
               reinterpret_cast<int8_t*>(out + i));
  }
  EncodeFrom(i, row, dim, scale.steps, dither, out);
}

float ScaleAt(const uint8_t* row) {
  float scale;
  std::memcpy(&scale, row, kScaleBytes);
  return scale;
}

void DecodeScalar(const uint8_t* row, uint32_t dim, float* out) {
  DecodeFrom(0, row + kScaleBytes, dim, ScaleAt(row), out);
}

void Decode(const uint8_t* row, uint32_t dim, float* out) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<int8_t, decltype(d)> d8;
  const uint32_t lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, ScaleAt(row));
  const auto* q = reinterpret_cast<const int8_t*>(row + kScaleBytes);
  uint32_t i = 0;
  for (; i + lanes <= dim; i += lanes) {
    const auto steps =
        hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d8, q + i)));
    hn::StoreU(hn::Mul(scale, steps), d, out + i);
  }
  DecodeFrom(i, row + kScaleBytes, dim, ScaleAt(row), out);
}

// A scale is a normal number or 0; under 0 and NaN there are no steps.
bool Valid(const uint8_t* row, uint32_t dim) {
  const float scale = ScaleAt(row);
  if (scale >= std::numeric_limits<float>::min() && scale <= kScaleMax) {
    return true;
  }
  const uint32_t bits = std::bit_cast<uint32_t>(scale);
  if (bits != 0 && bits != kNotFinite) return false;
  const uint8_t* q = row + kScaleBytes;
  return std::all_of(q, q + dim, [](uint8_t step) { return step == 0; });
}

}  // namespace

Codec Int8Entry() {
  return {
      .id = 3,
      .name = "int8",
      .linear = false,
      .unbiased = true,
      .needs_memory = false,
      .in_place = false,
      // A step, and some roundings; rows that are taken for zeros.
      .error = {.of_row = 1.0001 / kSteps, .absolute = kTiny, .largest = kMax},
      .row_bytes = [](uint32_t dim) { return kScaleBytes + dim; },
      .encode = Encode,
      .decode = Decode,
      .encode_scalar = EncodeScalar,
      .decode_scalar = DecodeScalar,
      .valid = Valid};
}

}  // namespace paramo
