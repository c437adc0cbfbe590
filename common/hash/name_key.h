// How a name becomes a key, where the rows of a table belong to named things.
#pragma once

#include "absl/strings/string_view.h"
#include "common/hash/hash128.h"

namespace paramo {

// XXH3-64, seed 0, of the name's bytes: the same on every machine and for every
// version of a data set, and at hand in every language
// (`xxhash.xxh3_64_intdigest(b"vim")` in Python). With 2^20 names the chance
// that two share a key is below 2^-24.
inline uint64_t NameKey(absl::string_view name) {
  return HashBytes64(name.data(), name.size());
}

}  // namespace paramo
