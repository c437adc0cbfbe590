#include "worker/step/reference.h"

#include <cmath>
#include <utility>

#include "worker/model/initial_weights.h"
#include "worker/model/reference_rule.h"
#include "worker/step/evaluate.h"
#include "worker/step/reference_rounds.h"

namespace paramo {
namespace {

using Buffers = std::vector<std::vector<float>>;

std::vector<absl::Span<float>> Spans(Buffers& buffers) {
  std::vector<absl::Span<float>> spans;
  for (auto& buffer : buffers) spans.push_back(absl::MakeSpan(buffer));
  return spans;
}

class DenseReference final : public ReferenceModel {
 public:
  DenseReference(const JobFile& job, Model& model, const Dataset& test)
      : model_(model), test_(test) {
    const auto& tensors = model.tensors();
    for (size_t t = 0; t < tensors.size(); ++t) {
      weights_.push_back(
          InitialWeights(tensors[t], job.TensorSeed(t), job.table_block));
      gradient_.emplace_back(tensors[t].elements());
      mean_.emplace_back(tensors[t].elements());
      rules_.emplace_back(job.rule, job.rule_params, tensors[t].elements());
    }
  }

  double Round(absl::Span<const Batch> batches, size_t examples) override {
    double loss = 0;
    bool first = true;
    for (const Batch& batch : batches) {
      if (batch.size == 0) continue;
      const float weight =
          static_cast<float>(batch.size) / static_cast<float>(examples);
      loss += weight * model_.Gradients(parameters(), batch, Spans(gradient_));
      AddToMean(weight, first);
      first = false;
    }
    for (size_t t = 0; t < weights_.size(); ++t) {
      rules_[t].Apply(mean_[t], absl::MakeSpan(weights_[t]));
    }
    return loss;
  }

  absl::StatusOr<double> Metric() override {
    return Accuracy(model_, parameters(), test_);
  }
  Buffers TakeWeights() override { return std::move(weights_); }

 private:
  std::vector<absl::Span<const float>> parameters() const {
    return {weights_.begin(), weights_.end()};
  }

  void AddToMean(float weight, bool first) {
    for (size_t t = 0; t < mean_.size(); ++t) {
      const float* g = gradient_[t].data();
      float* mean = mean_[t].data();
      const size_t n = mean_[t].size();
      if (first) {
        for (size_t i = 0; i < n; ++i) mean[i] = weight * g[i];
      } else {
        for (size_t i = 0; i < n; ++i)
          mean[i] = std::fma(weight, g[i], mean[i]);
      }
    }
  }

  Model& model_;
  const Dataset& test_;
  Buffers weights_;
  Buffers gradient_;  // of one rank
  Buffers mean_;      // of the round
  std::vector<ReferenceRule> rules_;
};

}  // namespace

absl::StatusOr<ReferenceResult> TrainReference(
    const JobFile& job, Model& model, const Dataset& train, const Dataset& test,
    const std::function<void(const ReferenceEpoch&)>& on_epoch) {
  DenseReference reference(job, model, test);
  return TrainRounds(job, train, reference, on_epoch);
}

}  // namespace paramo
