// How rows of values are written on the wire, in the log and on replicas. One
// file per codec; codec.cc lists them. docs/formats/codecs.md has the bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace paramo {

// |decoded - value| is at most
//   of_value x |value| + of_row x the row's largest |value| + absolute
// for finite rows whose values are within +-largest; larger ones become
// +-largest.
struct CodecError {
  double of_value = 0;
  double of_row = 0;
  double absolute = 0;
  double largest = 0;
};

// A codec is pure functions of a row: no state, the same bits on every machine
// and at every SIMD width, so that replicas that decode a push agree and a
// retry of a push is the same bytes. Any bytes of the right length decode to
// some floats, unless `valid` says that they are no row.
//
// Invariants, which tests/unit/common/codec holds against every codec:
//   1. The error is within `error`.
//   2. A finite row decodes to a finite one, and a row with a NaN or an
//      infinity to one that has some: policies on those work after decoding.
//   3. Zeros are exact.
struct Codec {
  uint32_t id;       // Section.codec
  const char* name;  // "f32"

  // decode(a) + decode(b) = decode of a sum: encoded gradients can be summed.
  bool linear;
  // With a seed, the expectation of decode(encode(x)) over seeds is x.
  bool unbiased;
  // The sender must remember what encoding dropped (error feedback). No codec
  // here does; a client that is to send one keeps the memory beside the table.
  bool needs_memory;
  // Values can be used where they lie, as unaligned little-endian floats.
  bool in_place;
  CodecError error;

  // Bytes of one row of `dim` values.
  size_t (*row_bytes)(uint32_t dim);

  // Shapes:  row [dim] f32, out [row_bytes(dim)]; both at any alignment.
  // Effects: a seed that is not 0 rounds at random where the codec is unbiased;
  //          0 rounds to the nearest.
  using Encode = void (*)(const float* row, uint32_t dim, uint64_t seed,
                          uint8_t* out);
  using Decode = void (*)(const uint8_t* row, uint32_t dim, float* out);
  Encode encode;
  Decode decode;
  // The scalar twins: they define what encode and decode must compute.
  Encode encode_scalar;
  Decode decode_scalar;

  // Whether the bytes are a row that encode may have made. Null: all are.
  bool (*valid)(const uint8_t* row, uint32_t dim);

  // The floats of `count` rows, one behind the other, that begin at `rows`:
  // there, or decoded to `scratch` [count, dim]. `rows` is an address, and not
  // yet of floats unless in_place.
  const float* Floats(const float* rows, uint32_t dim, uint32_t count,
                      float* scratch) const {
    if (in_place) return rows;
    const auto* row = reinterpret_cast<const uint8_t*>(rows);
    for (uint32_t i = 0; i < count; ++i, row += row_bytes(dim)) {
      decode(row, dim, scratch + size_t{i} * dim);
    }
    return scratch;
  }
};

inline constexpr uint32_t kCodecF32 = 0;
const Codec& F32();

// Errors: INVALID_ARGUMENT  no such codec in this build; lists those there are
absl::StatusOr<const Codec*> FindCodec(uint32_t id);
absl::StatusOr<const Codec*> FindCodec(absl::string_view name);

// Every codec, in order of id.
absl::Span<const Codec> ListCodecs();

// The seed of one row of a numbered push: never 0, the same whenever the push
// is sent again.
uint64_t CodecSeed(uint64_t session, uint64_t seq, uint64_t key);

}  // namespace paramo
