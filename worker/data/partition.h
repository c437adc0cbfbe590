// In which order an epoch goes through its examples, and thereby which examples
// a data shard holds. Pure functions: every worker and the reference agree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/data/dataset.h"

namespace paramo {

enum class Partition {
  kRandom,      // shuffled, another order in every epoch
  kStratified,  // shuffled, but every run of examples has each label in its
                // share of the whole, to within one example
  kContiguous,  // as the data set has them, in every epoch
};

// The order of one epoch: a permutation of [0, examples), the same on every
// machine. Fisher-Yates (Durstenfeld 1964) driven by common/base/random.h.
std::vector<uint32_t> EpochOrder(uint64_t seed, uint64_t epoch,
                                 size_t examples);

// The order under kStratified: each label's examples are shuffled and laid out
// evenly over the epoch.
// Shapes: labels [examples], of each example.
std::vector<uint32_t> StratifiedOrder(uint64_t seed, uint64_t epoch,
                                      absl::Span<const int32_t> labels);

// The labels of all examples, in order of their indices.
// Errors: of the data set. Cost: reads all of it once.
absl::StatusOr<std::vector<int32_t>> LabelsOf(const Dataset& dataset);

// "60,000 examples: label 0 6,000 (10.0 %), ..."; at most 20 labels are shown.
std::string LabelHistogram(absl::Span<const int32_t> labels);

}  // namespace paramo
