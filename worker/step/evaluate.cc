#include "worker/step/evaluate.h"

#include <algorithm>
#include <numeric>

#include "common/base/status.h"

namespace paramo {

absl::StatusOr<double> Accuracy(Model& model, ConstTensors parameters,
                                const Dataset& dataset) {
  // 500 x 784 floats are 1.5 MB: large enough for the matrix products, small
  // enough for the cache.
  constexpr size_t kChunk = 500;
  std::vector<uint32_t> indices;
  std::vector<float> features;
  std::vector<int32_t> labels;
  std::vector<int32_t> predicted;
  size_t correct = 0;
  for (size_t begin = 0; begin < dataset.examples(); begin += kChunk) {
    const size_t size = std::min(kChunk, dataset.examples() - begin);
    indices.resize(size);
    std::iota(indices.begin(), indices.end(), static_cast<uint32_t>(begin));
    features.resize(size * dataset.features());
    labels.resize(size);
    predicted.resize(size);
    PARAMO_RETURN_IF_ERROR(dataset.Read(indices, absl::MakeSpan(features),
                                        absl::MakeSpan(labels)));
    model.Predict(parameters, size, features.data(), predicted.data());
    for (size_t i = 0; i < size; ++i) correct += predicted[i] == labels[i];
  }
  return static_cast<double>(correct) / static_cast<double>(dataset.examples());
}

}  // namespace paramo
