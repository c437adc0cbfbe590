// What a row holds before its first push: a pure function of (table seed,
// key), the same on every machine and for ever, so missing rows are computed
// and never stored. docs/formats/row.md, "Missing rows", has the recipe.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "common/base/ids.h"

namespace paramo {

struct Initializer {
  // The numbers of paramo.v1.Initializer.Kind.
  enum class Kind : uint32_t {
    kZeros = 0,
    kConstant = 1,  // a
    kUniform = 2,   // uniform in [-a, a), 24 bits
    kNormal = 3,    // mean 0, standard deviation a
    kXavier = 4,    // uniform in +-sqrt(6 / (fan_in + fan_out))
  };

  Kind kind = Kind::kZeros;
  double a = 0;
  uint32_t fan_in = 0;
  uint32_t fan_out = 0;

  // INVALID_ARGUMENT: unknown kind; `a` NaN, above 1e30 in magnitude, or
  // negative where it is a width; xavier without fans.
  absl::Status Validate() const;

  // Writes the value of row `key`: `dim` f32 at `out`, at any alignment.
  // The initializer must be valid.
  //
  // Cost:   per element 1 ns (uniform), 10 ns (normal).
  // Source: bits: splitmix64 (Steele, Lea, Flood 2014) started at
  //         Mix64(seed ^ Mix64(key)); normal: Wichura 1988, AS 241 (PPND16);
  //         xavier: Glorot and Bengio 2010, eq. 16.
  void Fill(uint64_t seed, Key key, void* out, uint32_t dim) const;
};

bool operator==(const Initializer& x, const Initializer& y);

}  // namespace paramo
