// The reference run of sparse models: whole tables in memory.
#include "worker/model/initial_weights.h"
#include "worker/step/reference.h"
#include "worker/step/reference_rounds.h"
#include "worker/step/reference_table.h"

namespace paramo {
namespace {

// Every row the model can use, as it starts.
std::vector<float> InitialRows(const SparseTable& table, uint64_t seed) {
  std::vector<float> values(table.keys.size() * table.dim);
  if (table.uniform == 0) return values;
  for (size_t row = 0; row < table.keys.size(); ++row) {
    UniformRow(table.uniform, seed, table.keys[row],
               absl::MakeSpan(values).subspan(row * table.dim, table.dim));
  }
  return values;
}

class SparseReference final : public ReferenceModel {
 public:
  SparseReference(const JobFile& job, SparseModel& model) : model_(model) {
    const std::vector<SparseTable>& tables = model.tables();
    for (size_t t = 0; t < tables.size(); ++t) {
      tables_.emplace_back(job, tables[t].dim,
                           InitialRows(tables[t], job.TensorSeed(t)));
    }
    rows_.resize(tables.size());
    gradients_.resize(tables.size());
  }

  double Round(absl::Span<const Batch> batches, size_t examples,
               uint64_t clock) override {
    double loss = 0;
    for (const Batch& batch : batches) {
      if (batch.size == 0) continue;
      const float weight =
          static_cast<float>(batch.size) / static_cast<float>(examples);
      loss += weight * Gradients(batch);
      for (size_t t = 0; t < tables_.size(); ++t) {
        tables_[t].Contribute(weight, step_.parts[t].rows, gradients_[t]);
      }
    }
    for (ReferenceTable& table : tables_) table.Close(clock);
    return loss;
  }

  absl::StatusOr<double> Metric() override {
    std::vector<absl::Span<const float>> values;
    for (const ReferenceTable& table : tables_) {
      values.emplace_back(table.values());
    }
    return model_.HeldOutAuc(values);
  }

  std::vector<std::vector<float>> TakeWeights() override {
    std::vector<std::vector<float>> weights;
    for (ReferenceTable& table : tables_) weights.push_back(table.TakeValues());
    return weights;
  }

 private:
  // Of one batch, at the round's parameters, into gradients_.
  double Gradients(const Batch& batch) {
    model_.Prepare(batch, step_);
    std::vector<absl::Span<float>> gradients;
    for (size_t t = 0; t < tables_.size(); ++t) {
      rows_[t].clear();
      for (const uint32_t row : step_.parts[t].rows) {
        const absl::Span<const float> value = tables_[t].Row(row);
        rows_[t].insert(rows_[t].end(), value.begin(), value.end());
      }
      gradients_[t].resize(rows_[t].size());
      gradients.push_back(absl::MakeSpan(gradients_[t]));
    }
    const std::vector<absl::Span<const float>> rows(rows_.begin(), rows_.end());
    return model_.Gradients(batch, step_, rows, gradients);
  }

  SparseModel& model_;
  std::vector<ReferenceTable> tables_;
  SparseStep step_;
  std::vector<std::vector<float>> rows_;       // of one batch
  std::vector<std::vector<float>> gradients_;  // of one batch
};

}  // namespace

absl::StatusOr<ReferenceResult> TrainSparseReference(
    const JobFile& job, SparseModel& model, const Dataset& train,
    const std::function<void(const ReferenceEpoch&)>& on_epoch) {
  SparseReference reference(job, model);
  return TrainRounds(job, train, reference, on_epoch);
}

}  // namespace paramo
