// A worker's part of a round in which models are averaged (local SGD): several
// steps on a copy of the parameters, then one contribution.
//
//   w[0]   = parameters
//   w[j+1] = w[j] - lr g[j]         g[j]: mean gradient of the j-th piece
//   sum    = g[0] + ... + g[k-1]    = (w[0] - w[k]) / lr
//
// The round's mean of such sums, applied by sgd with the same lr, gives the
// mean of the w[k]. The sum and not the difference, because with one step it is
// the gradient itself, to the last bit, and no digits are lost to subtraction.
//
// Sources: McMahan et al. 2017, Alg. 1 (mean by examples); Stich 2019.
#pragma once

#include <cstddef>
#include <vector>

#include "worker/data/dataset.h"
#include "worker/model/model.h"

namespace paramo {

// Owns the copy. Threads: one at a time. Borrows the model.
class LocalSteps {
 public:
  // A step takes `step_examples`, at least 1; the last one of a batch what is
  // left of it.
  LocalSteps(Model& model, size_t step_examples)
      : model_(model), step_examples_(step_examples) {}

  // Runs through the batch in its order. Returns the mean loss over the batch,
  // each piece at the parameters it met.
  // Shapes: parameters[i] and sum[i] as Model::tensors(); sum is overwritten.
  double Run(ConstTensors parameters, const Batch& batch, float lr,
             Tensors sum);

 private:
  void TakePiece(const Batch& batch, size_t begin);
  void Copy(ConstTensors parameters);
  void Step(float lr, Tensors gradient);

  Model& model_;
  const size_t step_examples_;
  Batch piece_;
  std::vector<std::vector<float>> local_;     // the copy
  std::vector<std::vector<float>> gradient_;  // of a piece behind the first
  std::vector<absl::Span<const float>> local_spans_;
  std::vector<absl::Span<float>> gradient_spans_;
};

}  // namespace paramo
