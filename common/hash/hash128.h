// XXH3 (xxHash 0.8, Collet): the payload hash of pushes and the row hash of
// checksums. Not against an adversary; against mistakes and broken hardware.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace paramo {

struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;

  friend bool operator==(const Hash128&, const Hash128&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Hash128& hash) {
    return H::combine(std::move(h), hash.low, hash.high);
  }
};

// XXH3-128, seed 0, of bytes given in any pieces. Threads: one at a time.
class Hasher128 {
 public:
  Hasher128();
  void Update(const void* data, size_t size);
  // Of everything so far; more may follow.
  Hash128 Digest() const;

 private:
  // Storage of xxHash's streaming state, whose header stays in the .cc.
  alignas(64) unsigned char state_[576];
};

// XXH3-128 and XXH3-64, seed 0, of one run of bytes. Cost: 20 ns + 20 GB/s.
Hash128 HashBytes128(const void* data, size_t size);
uint64_t HashBytes64(const void* data, size_t size);

}  // namespace paramo
