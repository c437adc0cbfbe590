// The sizes at which dense parameters are moved, by `wire` and its floors.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace paramo::bench {

struct WireSize {
  size_t bytes = 0;
  int in_flight = 1;
};
// 4 KB to 16 MB, with as many requests in flight as keep both ends busy.
std::vector<WireSize> WireSizes(bool smoke);

// 65536 -> "64 KB": a dense size is always whole in powers of two.
std::string SizeText(size_t bytes);

}  // namespace paramo::bench
