// Saves a model's parameters for people and for comparing runs.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "worker/model/model.h"

namespace paramo {

// Writes FILE.npz with one array per tensor, under the tensor's name and in
// its shape: numpy.load("FILE.npz")["w0"].
// Errors: those of the file system, with the file's name.
absl::Status SaveWeights(const std::string& file, const Model& model,
                         ConstTensors weights);

}  // namespace paramo
