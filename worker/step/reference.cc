#include "worker/step/reference.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "worker/data/batch_plan.h"
#include "worker/model/initial_weights.h"
#include "worker/model/reference_rule.h"
#include "worker/step/evaluate.h"

namespace paramo {
namespace {

// One worker's walk through its data shards.
class Rank {
 public:
  Rank(const Dataset& data, const BatchPlan& plan, size_t rank, size_t workers)
      : plan_(plan), reader_(data, plan), next_{rank, 0}, workers_(workers) {}

  bool exhausted() const { return next_.data_shard >= plan_.data_shards(); }
  size_t epoch() const { return plan_.EpochOf(next_.data_shard); }

  // Reads the next batch. Not when exhausted.
  absl::Status Advance(Batch& batch) {
    PARAMO_RETURN_IF_ERROR(reader_.Read(next_, batch));
    if (++next_.batch == plan_.BatchesIn(next_.data_shard)) {
      next_ = {next_.data_shard + workers_, 0};
    }
    return absl::OkStatus();
  }

 private:
  const BatchPlan plan_;
  BatchReader reader_;
  BatchId next_;
  const size_t workers_;
};

using Buffers = std::vector<std::vector<float>>;

std::vector<absl::Span<float>> Spans(Buffers& buffers) {
  std::vector<absl::Span<float>> spans;
  for (auto& buffer : buffers) spans.push_back(absl::MakeSpan(buffer));
  return spans;
}

// The state of the run, and one round of it.
class Reference {
 public:
  Reference(const JobFile& job, Model& model, const Dataset& train)
      : model_(model) {
    const BatchPlan plan = job.Plan(train.examples());
    for (size_t rank = 0; rank < job.workers; ++rank) {
      ranks_.emplace_back(train, plan, rank, job.workers);
    }
    batches_.resize(job.workers);
    const auto& tensors = model.tensors();
    for (size_t t = 0; t < tensors.size(); ++t) {
      weights_.push_back(
          InitialWeights(tensors[t], job.TensorSeed(t), job.table_block));
      gradient_.emplace_back(tensors[t].elements());
      mean_.emplace_back(tensors[t].elements());
      rules_.emplace_back(job.rule, job.rule_params, tensors[t].elements());
    }
  }

  bool exhausted() const {
    for (const Rank& rank : ranks_) {
      if (!rank.exhausted()) return false;
    }
    return true;
  }
  size_t epoch() const { return ranks_[0].epoch(); }
  Buffers& weights() { return weights_; }
  std::vector<absl::Span<const float>> parameters() const {
    return {weights_.begin(), weights_.end()};
  }

  // Returns the round's mean loss.
  absl::StatusOr<double> Round() {
    size_t examples = 0;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      batches_[r].size = 0;
      if (ranks_[r].exhausted()) continue;
      PARAMO_RETURN_IF_ERROR(ranks_[r].Advance(batches_[r]));
      examples += batches_[r].size;
    }
    double loss = 0;
    bool first = true;
    for (const Batch& batch : batches_) {
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

 private:
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
  std::vector<Rank> ranks_;
  std::vector<Batch> batches_;  // of this round, by rank; size 0 = none
  Buffers weights_;
  Buffers gradient_;  // of one rank
  Buffers mean_;      // of the round
  std::vector<ReferenceRule> rules_;
};

}  // namespace

absl::StatusOr<ReferenceResult> TrainReference(
    const JobFile& job, Model& model, const Dataset& train, const Dataset& test,
    const std::function<void(const ReferenceEpoch&)>& on_epoch) {
  Reference reference(job, model, train);
  ReferenceResult result;
  double loss_sum = 0;
  size_t loss_rounds = 0;
  size_t epoch = 0;
  while (!reference.exhausted()) {
    PARAMO_ASSIGN_OR_RETURN(const double loss, reference.Round());
    ++result.rounds;
    if (!std::isfinite(loss)) {
      return absl::OutOfRangeError(
          absl::StrCat("the loss is not finite in round ", result.rounds,
                       "; lower optimizer.lr in the job file"));
    }
    loss_sum += loss;
    ++loss_rounds;
    const bool last = reference.exhausted();
    if (!last &&
        (reference.epoch() == epoch || reference.epoch() >= job.epochs)) {
      continue;
    }
    PARAMO_ASSIGN_OR_RETURN(result.metric,
                            Accuracy(model, reference.parameters(), test));
    result.loss = loss_sum / static_cast<double>(loss_rounds);
    epoch = last ? job.epochs : reference.epoch();
    on_epoch({epoch, result.loss, result.metric});
    loss_sum = 0;
    loss_rounds = 0;
  }
  result.weights = std::move(reference.weights());
  return result;
}

}  // namespace paramo
