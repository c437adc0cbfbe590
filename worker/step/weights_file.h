// Saves a model's parameters for people and for comparing runs.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "worker/model/model.h"
#include "worker/model/sparse_model.h"

namespace paramo {

// Writes FILE.npz with one array per tensor, under the tensor's name and in
// its shape: numpy.load("FILE.npz")["w0"].
// Errors: those of the file system, with the file's name.
absl::Status SaveWeights(const std::string& file, const Model& model,
                         ConstTensors weights);

// The same for a sparse model: two arrays per table, NAME_keys u64 [n] and
// NAME_values f32 [n, dim].
// Shapes: rows as whole tables.
absl::Status SaveRows(const std::string& file, const SparseModel& model,
                      ConstRows rows);

}  // namespace paramo
