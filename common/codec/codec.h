// How values are written on the wire. One codec here, f32; the table below is
// where others register, with the properties that the rest of the system may
// rely on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace paramo {

struct Codec {
  uint32_t id;       // Section.codec
  const char* name;  // "f32"

  // decode(a) + decode(b) = decode of a sum: encoded gradients can be summed.
  bool linear;
  // The expectation of decode(encode(x)) is x.
  bool unbiased;
  // The sender must remember what encoding dropped (error feedback).
  bool needs_memory;
  // Values can be used where they lie, as unaligned little-endian floats.
  bool in_place;

  // Bytes of one row of `dim` values.
  size_t (*row_bytes)(uint32_t dim);
};

inline constexpr uint32_t kCodecF32 = 0;

// Errors: INVALID_ARGUMENT  no such codec in this build; lists those there are
absl::StatusOr<const Codec*> FindCodec(uint32_t id);

}  // namespace paramo
