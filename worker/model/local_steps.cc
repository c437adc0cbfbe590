#include "worker/model/local_steps.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace paramo {
namespace {

template <typename T>
void AssignPart(const std::vector<T>& from, size_t begin, size_t count,
                std::vector<T>& to) {
  to.assign(from.begin() + static_cast<ptrdiff_t>(begin),
            from.begin() + static_cast<ptrdiff_t>(begin + count));
}

void Add(Tensors sum, Tensors terms) {
  for (size_t t = 0; t < sum.size(); ++t) {
    for (size_t i = 0; i < sum[t].size(); ++i) sum[t][i] += terms[t][i];
  }
}

}  // namespace

double LocalSteps::Run(ConstTensors parameters, const Batch& batch, float lr,
                       Tensors sum) {
  PARAMO_CHECK(step_examples_ > 0);
  if (batch.size <= step_examples_) {
    return model_.Gradients(parameters, batch, sum);
  }
  Copy(parameters);
  double loss = 0;
  for (size_t begin = 0; begin < batch.size; begin += step_examples_) {
    TakePiece(batch, begin);
    const bool first = begin == 0;
    const Tensors gradient = first ? sum : Tensors(gradient_spans_);
    loss += static_cast<double>(piece_.size) *
            model_.Gradients(local_spans_, piece_, gradient);
    Step(lr, gradient);
    if (!first) Add(sum, gradient);
  }
  return loss / static_cast<double>(batch.size);
}

void LocalSteps::TakePiece(const Batch& batch, size_t begin) {
  const size_t features = batch.features.size() / batch.size;
  piece_.size = std::min(step_examples_, batch.size - begin);
  piece_.number = batch.number;
  AssignPart(batch.indices, begin, piece_.size, piece_.indices);
  AssignPart(batch.features, begin * features, piece_.size * features,
             piece_.features);
  AssignPart(batch.labels, begin, piece_.size, piece_.labels);
}

void LocalSteps::Copy(ConstTensors parameters) {
  local_.resize(parameters.size());
  gradient_.resize(parameters.size());
  local_spans_.clear();
  gradient_spans_.clear();
  for (size_t t = 0; t < parameters.size(); ++t) {
    local_[t].assign(parameters[t].begin(), parameters[t].end());
    gradient_[t].resize(parameters[t].size());
    local_spans_.emplace_back(local_[t]);
    gradient_spans_.push_back(absl::MakeSpan(gradient_[t]));
  }
}

// As the servers' sgd: one rounding per element.
void LocalSteps::Step(float lr, Tensors gradient) {
  for (size_t t = 0; t < local_.size(); ++t) {
    for (size_t i = 0; i < local_[t].size(); ++i) {
      local_[t][i] = std::fma(-lr, gradient[t][i], local_[t][i]);
    }
  }
}

}  // namespace paramo
