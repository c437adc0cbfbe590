#include "worker/step/reference.h"

#include <numeric>

#include "worker/model/initial_weights.h"
#include "worker/model/local_steps.h"
#include "worker/step/evaluate.h"
#include "worker/step/reference_rounds.h"
#include "worker/step/reference_table.h"

namespace paramo {
namespace {

using Buffers = std::vector<std::vector<float>>;

std::vector<absl::Span<float>> Spans(Buffers& buffers) {
  std::vector<absl::Span<float>> spans;
  for (auto& buffer : buffers) spans.push_back(absl::MakeSpan(buffer));
  return spans;
}

// A tensor is a table whose rows, blocks of it, are all touched by each step.
class DenseReference final : public ReferenceModel {
 public:
  DenseReference(const JobFile& job, Model& model, const Dataset& test)
      : job_(job),
        model_(model),
        test_(test),
        steps_(model, job.step_examples()) {
    const auto& tensors = model.tensors();
    for (size_t t = 0; t < tensors.size(); ++t) {
      tables_.emplace_back(
          job, job.table_block,
          InitialWeights(tensors[t], job.TensorSeed(t), job.table_block));
      gradient_.emplace_back(tensors[t].elements());
      rows_.emplace_back(tables_[t].rows());
      std::iota(rows_[t].begin(), rows_[t].end(), 0);
    }
  }

  double Round(absl::Span<const Batch> batches, size_t examples,
               uint64_t clock) override {
    double loss = 0;
    for (const Batch& batch : batches) {
      if (batch.size == 0) continue;
      const float weight =
          static_cast<float>(batch.size) / static_cast<float>(examples);
      loss += weight * steps_.Run(parameters(), batch, job_.LocalRate(clock),
                                  Spans(gradient_));
      for (size_t t = 0; t < tables_.size(); ++t) {
        tables_[t].Contribute(weight, rows_[t], gradient_[t]);
      }
    }
    for (ReferenceTable& table : tables_) table.Close(clock);
    return loss;
  }

  absl::StatusOr<double> Metric() override {
    return Accuracy(model_, parameters(), test_);
  }
  Buffers TakeWeights() override {
    Buffers weights;
    for (ReferenceTable& table : tables_) weights.push_back(table.TakeValues());
    return weights;
  }

 private:
  std::vector<absl::Span<const float>> parameters() const {
    std::vector<absl::Span<const float>> values;
    for (const ReferenceTable& table : tables_) {
      values.emplace_back(table.values());
    }
    return values;
  }

  const JobFile& job_;
  Model& model_;
  const Dataset& test_;
  LocalSteps steps_;
  std::vector<ReferenceTable> tables_;
  Buffers gradient_;                         // of one rank
  std::vector<std::vector<uint32_t>> rows_;  // of each table: all
};

}  // namespace

absl::StatusOr<ReferenceResult> TrainReference(
    const JobFile& job, Model& model, const Dataset& train, const Dataset& test,
    const std::function<void(const ReferenceEpoch&)>& on_epoch) {
  DenseReference reference(job, model, test);
  return TrainRounds(job, train, reference, on_epoch);
}

}  // namespace paramo
