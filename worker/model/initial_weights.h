// A tensor's values before the first push, as its table's initializer defines
// them (docs/formats/row.md, "Missing rows"). For the reference run, which has
// no servers to ask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/model/model.h"

namespace paramo {

// The whole tensor, row-major, for a table with rows of `block` elements.
std::vector<float> InitialWeights(const TensorInfo& tensor, uint64_t seed,
                                  size_t block);

// One row uniform in [-width, width), for a table with that seed.
void UniformRow(float width, uint64_t seed, uint64_t key,
                absl::Span<float> row);

}  // namespace paramo
