// What a trainable model offers: its tensors, and loss and gradients on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "worker/compute/compute.h"
#include "worker/data/dataset.h"

namespace paramo {

// One parameter tensor, kept in the cluster as a dense tensor.
struct TensorInfo {
  enum class Init { kZeros, kXavier };

  std::string name;  // "w0", "b0", "w1", ...
  std::vector<uint64_t> shape;
  Init init = Init::kZeros;
  uint32_t fan_in = 0;  // of Xavier
  uint32_t fan_out = 0;

  size_t elements() const;
};

// One buffer per tensor, in the order of Model::tensors().
using ConstTensors = absl::Span<const absl::Span<const float>>;
using Tensors = absl::Span<const absl::Span<float>>;

// Parameters are the caller's: a model owns only scratch memory.
// Threads: one at a time.
class Model {
 public:
  virtual ~Model() = default;

  virtual const std::vector<TensorInfo>& tensors() const = 0;

  // Mean loss over the batch, and its gradient for every tensor.
  // Shapes: parameters[i] and gradients[i] as tensors()[i]; gradients are
  //         overwritten.
  virtual double Gradients(ConstTensors parameters, const Batch& batch,
                           Tensors gradients) = 0;

  // The most likely class of each of `count` examples.
  // Shapes: features [count, features]; labels [count].
  virtual void Predict(ConstTensors parameters, size_t count,
                       const float* features, int32_t* labels) = 0;
};

// A multi-layer perceptron: layers[0] inputs, ReLU on the hidden layers,
// layers.back() classes, softmax cross-entropy. Two layers make softmax
// regression. Borrows `compute`.
std::unique_ptr<Model> MakeMlp(std::vector<size_t> layers, Compute& compute);

}  // namespace paramo
