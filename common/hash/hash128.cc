#include "common/hash/hash128.h"

// Inlined, so that it is compiled for the vector width we require.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace paramo {
namespace {

Hash128 FromXxh(XXH128_hash_t hash) { return {hash.low64, hash.high64}; }

}  // namespace

static_assert(sizeof(XXH3_state_t) <= 576 && alignof(XXH3_state_t) <= 64);

Hasher128::Hasher128() {
  XXH3_128bits_reset(reinterpret_cast<XXH3_state_t*>(state_));
}

void Hasher128::Update(const void* data, size_t size) {
  XXH3_128bits_update(reinterpret_cast<XXH3_state_t*>(state_), data, size);
}

Hash128 Hasher128::Digest() const {
  return FromXxh(
      XXH3_128bits_digest(reinterpret_cast<const XXH3_state_t*>(state_)));
}

Hash128 HashBytes128(const void* data, size_t size) {
  return FromXxh(XXH3_128bits(data, size));
}

uint64_t HashBytes64(const void* data, size_t size) {
  return XXH3_64bits(data, size);
}

}  // namespace paramo
