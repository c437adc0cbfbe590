// How good the parameters are on held-out data.
#pragma once

#include "absl/status/statusor.h"
#include "worker/data/dataset.h"
#include "worker/model/model.h"

namespace paramo {

// Share of the examples whose label is predicted, in [0, 1].
// Cost: one forward pass over the whole set; memory of 500 examples.
absl::StatusOr<double> Accuracy(Model& model, ConstTensors parameters,
                                const Dataset& dataset);

}  // namespace paramo
