// The loops around codecs that write each value as 16 bits by itself. A format
// supplies, for one value and for a vector of them:
//
//   struct Format {
//     static uint16_t Encode(float);                 // defines the answer
//     static float Decode(uint16_t);
//     static auto Encode(D d, V values);             // the same bits
//     static auto Decode(D d, V halves);
//   };
#pragma once

#include <cstring>

#include "common/base/simd.h"
#include "common/codec/codec.h"

namespace paramo {

// A vector of values, their 16 bits each, and those as bytes.
using ValuesTag = hn::ScalableTag<float>;
using HalvesTag = hn::Rebind<uint16_t, ValuesTag>;
using HalvesBytesTag = hn::Repartition<uint8_t, HalvesTag>;

template <class Format>
void EncodeHalvesFrom(uint32_t begin, const float* row, uint32_t dim,
                      uint8_t* out) {
  for (uint32_t i = begin; i < dim; ++i) {
    const uint16_t half = Format::Encode(LoadFloat(row, i));
    std::memcpy(out + 2 * i, &half, 2);
  }
}

template <class Format>
void DecodeHalvesFrom(uint32_t begin, const uint8_t* row, uint32_t dim,
                      float* out) {
  for (uint32_t i = begin; i < dim; ++i) {
    uint16_t half;
    std::memcpy(&half, row + 2 * i, 2);
    const float value = Format::Decode(half);
    std::memcpy(out + i, &value, 4);
  }
}

template <class Format>
void EncodeHalves(const float* row, uint32_t dim, uint64_t, uint8_t* out) {
  const ValuesTag d;
  const HalvesBytesTag bytes;
  const uint32_t lanes = hn::Lanes(d);
  uint32_t i = 0;
  for (; i + lanes <= dim; i += lanes) {
    const auto halves = Format::Encode(d, hn::LoadU(d, row + i));
    hn::StoreU(hn::BitCast(bytes, halves), bytes, out + 2 * i);
  }
  EncodeHalvesFrom<Format>(i, row, dim, out);
}

template <class Format>
void DecodeHalves(const uint8_t* row, uint32_t dim, float* out) {
  const ValuesTag d;
  const uint32_t lanes = hn::Lanes(d);
  uint32_t i = 0;
  for (; i + lanes <= dim; i += lanes) {
    const auto bytes = hn::LoadU(HalvesBytesTag(), row + 2 * i);
    const auto halves = hn::BitCast(HalvesTag(), bytes);
    hn::StoreU(Format::Decode(d, halves), d, out + i);
  }
  DecodeHalvesFrom<Format>(i, row, dim, out);
}

template <class Format>
Codec HalvesEntry(uint32_t id, const char* name, const CodecError& error) {
  return {.id = id,
          .name = name,
          .linear = false,
          .unbiased = false,
          .needs_memory = false,
          .in_place = false,
          .error = error,
          .row_bytes = [](uint32_t dim) { return size_t{2} * dim; },
          .encode = EncodeHalves<Format>,
          .decode = DecodeHalves<Format>,
          .encode_scalar =
              [](const float* row, uint32_t dim, uint64_t, uint8_t* out) {
                EncodeHalvesFrom<Format>(0, row, dim, out);
              },
          .decode_scalar =
              [](const uint8_t* row, uint32_t dim, float* out) {
                DecodeHalvesFrom<Format>(0, row, dim, out);
              },
          .valid = nullptr};
}

}  // namespace paramo
