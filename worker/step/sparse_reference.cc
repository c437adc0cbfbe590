// The reference run of sparse models: whole tables in memory.
#include <cmath>
#include <utility>

#include "worker/model/initial_weights.h"
#include "worker/model/reference_rule.h"
#include "worker/step/reference.h"
#include "worker/step/reference_rounds.h"

namespace paramo {
namespace {

// One table: every row the model can use, by row number.
class MemoryTable {
 public:
  MemoryTable(const JobFile& job, const SparseTable& table, size_t index)
      : dim_(table.dim),
        values_(table.keys.size() * table.dim),
        mean_(values_.size()),
        touched_(table.keys.size()),
        rule_(job.rule, job.rule_params, values_.size()) {
    if (table.uniform == 0) return;
    for (size_t row = 0; row < table.keys.size(); ++row) {
      UniformRow(table.uniform, job.TensorSeed(index), table.keys[row],
                 Row(values_, row));
    }
  }

  std::vector<float>& values() { return values_; }

  void Pull(const std::vector<uint32_t>& rows, std::vector<float>& out) {
    out.clear();
    for (uint32_t row : rows) {
      const float* value = &values_[row * dim_];
      out.insert(out.end(), value, value + dim_);
    }
  }

  // Adds one rank's gradients to the round, as servers do it: in the order of
  // ranks, one fused multiply-add per term.
  void Contribute(float weight, const std::vector<uint32_t>& rows,
                  const std::vector<float>& gradients) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const uint32_t row = rows[i];
      const float* g = &gradients[i * dim_];
      float* mean = &mean_[row * dim_];
      for (size_t d = 0; d < dim_; ++d) {
        mean[d] =
            touched_[row] ? std::fma(weight, g[d], mean[d]) : weight * g[d];
      }
      if (!touched_[row]) round_.push_back(row);
      touched_[row] = true;
    }
  }

  void Close() {
    for (uint32_t row : round_) {
      rule_.ApplyRow(row, Row(mean_, row), Row(values_, row));
      touched_[row] = false;
    }
    round_.clear();
  }

 private:
  absl::Span<float> Row(std::vector<float>& floats, size_t row) const {
    return absl::MakeSpan(floats).subspan(row * dim_, dim_);
  }

  const size_t dim_;
  std::vector<float> values_;    // [keys, dim]
  std::vector<float> mean_;      // of the round, where touched
  std::vector<bool> touched_;    // by row, in this round
  std::vector<uint32_t> round_;  // the rows touched
  ReferenceRule rule_;
};

class SparseReference final : public ReferenceModel {
 public:
  SparseReference(const JobFile& job, SparseModel& model) : model_(model) {
    const std::vector<SparseTable>& tables = model.tables();
    for (size_t t = 0; t < tables.size(); ++t) {
      tables_.emplace_back(job, tables[t], t);
    }
    rows_.resize(tables.size());
    gradients_.resize(tables.size());
  }

  double Round(absl::Span<const Batch> batches, size_t examples) override {
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
    for (MemoryTable& table : tables_) table.Close();
    return loss;
  }

  absl::StatusOr<double> Metric() override {
    std::vector<absl::Span<const float>> values;
    for (MemoryTable& table : tables_) values.emplace_back(table.values());
    return model_.HeldOutAuc(values);
  }

  std::vector<std::vector<float>> TakeWeights() override {
    std::vector<std::vector<float>> weights;
    for (MemoryTable& table : tables_) {
      weights.push_back(std::move(table.values()));
    }
    return weights;
  }

 private:
  // Of one batch, at the round's parameters, into gradients_.
  double Gradients(const Batch& batch) {
    model_.Prepare(batch, step_);
    std::vector<absl::Span<float>> gradients;
    for (size_t t = 0; t < tables_.size(); ++t) {
      tables_[t].Pull(step_.parts[t].rows, rows_[t]);
      gradients_[t].resize(rows_[t].size());
      gradients.push_back(absl::MakeSpan(gradients_[t]));
    }
    const std::vector<absl::Span<const float>> rows(rows_.begin(), rows_.end());
    return model_.Gradients(batch, step_, rows, gradients);
  }

  SparseModel& model_;
  std::vector<MemoryTable> tables_;
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
