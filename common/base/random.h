// Seeded randomness. Every random decision of Paramo can be replayed from a
// printed seed; nothing draws from the machine except MakeRandomId.
#pragma once

#include <cstdint>

namespace paramo {

// A bijective mix of 64 bits (splitmix64's finaliser, Steele, Lea, Flood
// 2014). The same on every machine, for ever: formats rest on it.
constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// A small generator for sampling, shuffling and jitter (splitmix64).
class BitGen {
 public:
  explicit BitGen(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t value = Mix64(state_);
    state_ += 0x9e3779b97f4a7c15ull;
    return value;
  }

  // Uniform in [0, bound). `bound` > 0. Lemire 2019, without the rejection:
  // the bias is below bound / 2^64.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>(
        (static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }

  // Uniform in [0, 1), 53 bits.
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

 private:
  uint64_t state_;
};

// A random non-zero id from the operating system: cluster ids, incarnations,
// session secrets. The only source that cannot be replayed.
uint64_t MakeRandomId();

}  // namespace paramo
