// A data set whose examples have no dense features: sparse models look them up
// by index (Batch::indices) where they are kept.
#pragma once

#include <memory>
#include <vector>

#include "worker/data/dataset.h"

namespace paramo {

// One label per example, each below `classes`.
std::unique_ptr<Dataset> MakeIndexedDataset(std::vector<uint8_t> labels,
                                            size_t classes);

// Whether an example is held out of training, by a hash that identifies it: one
// of twenty, the same ones in every run and on every machine.
bool IsHeldOut(uint64_t hash);

}  // namespace paramo
