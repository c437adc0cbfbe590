// IEEE 754 binary32, little-endian: 4 bytes per value, as floats lie in memory.
#include <cstring>
#include <limits>

#include "common/codec/registry.h"

namespace paramo {
namespace {

void Encode(const float* row, uint32_t dim, uint64_t, uint8_t* out) {
  std::memcpy(out, row, size_t{4} * dim);
}

void Decode(const uint8_t* row, uint32_t dim, float* out) {
  std::memcpy(out, row, size_t{4} * dim);
}

}  // namespace

Codec F32Entry() {
  return {.id = kCodecF32,
          .name = "f32",
          .linear = true,
          .unbiased = true,
          .needs_memory = false,
          .in_place = true,
          .error = {.largest = std::numeric_limits<float>::max()},
          .row_bytes = [](uint32_t dim) { return size_t{4} * dim; },
          .encode = Encode,
          .decode = Decode,
          .encode_scalar = Encode,
          .decode_scalar = Decode,
          .valid = nullptr};
}

}  // namespace paramo
