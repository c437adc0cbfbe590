#include <algorithm>

#include "common/base/check.h"
#include "worker/model/sparse_math.h"
#include "worker/model/sparse_model.h"

namespace paramo {
namespace {

enum : size_t { kWeight = 0, kBias = 1 };

class LogisticRegression final : public SparseModel {
 public:
  explicit LogisticRegression(const LibsvmData& data)
      : data_(data),
        tables_{{"weight", 1, 0, FeaturesOf(data)}, {"bias", 1, 0, {0}}},
        train_rows_(RowsOf(data.train)),
        held_out_rows_(RowsOf(data.held_out)),
        distinct_(tables_[kWeight].keys.size()) {}

  const std::vector<SparseTable>& tables() const override { return tables_; }

  // step.terms: for each feature of each example, its place among the rows.
  void Prepare(const Batch& batch, SparseStep& step) override {
    step.parts.resize(2);
    step.terms.clear();
    SparseStep::Part& part = step.parts[kWeight];
    distinct_.Begin(&part.rows);
    for (uint32_t e : batch.indices) {
      for (uint64_t at = data_.train.offsets[e];
           at < data_.train.offsets[e + 1]; ++at) {
        step.terms.push_back(distinct_.Place(train_rows_[at]));
      }
    }
    part.keys.clear();
    for (uint32_t row : part.rows) {
      part.keys.push_back(tables_[kWeight].keys[row]);
    }
    step.parts[kBias].rows = {0};
    step.parts[kBias].keys = {0};
  }

  double Gradients(const Batch& batch, const SparseStep& step, ConstRows rows,
                   MutableRows gradients) override {
    PARAMO_CHECK(rows[kWeight].size() == step.parts[kWeight].rows.size());
    for (const auto& gradient : gradients) {
      std::fill(gradient.begin(), gradient.end(), 0.0f);
    }
    const SparseExamples& examples = data_.train;
    const float share = 1.0f / static_cast<float>(batch.size);
    double loss = 0;
    const uint32_t* term = step.terms.data();
    for (uint32_t e : batch.indices) {
      const float* value = &examples.values[examples.offsets[e]];
      const size_t count = examples.offsets[e + 1] - examples.offsets[e];
      float score = rows[kBias][0];
      for (size_t i = 0; i < count; ++i) {
        score += rows[kWeight][term[i]] * value[i];
      }
      const LogisticTerm at = Logistic(score, examples.labels[e] != 0);
      loss += at.loss;
      const float slope = at.slope * share;
      for (size_t i = 0; i < count; ++i) {
        gradients[kWeight][term[i]] += slope * value[i];
      }
      gradients[kBias][0] += slope;
      term += count;
    }
    return loss / static_cast<double>(batch.size);
  }

  double HeldOutAuc(ConstRows rows) override {
    const SparseExamples& examples = data_.held_out;
    std::vector<std::pair<float, bool>> scored;
    for (size_t e = 0; e < examples.size(); ++e) {
      float score = rows[kBias][0];
      for (uint64_t at = examples.offsets[e]; at < examples.offsets[e + 1];
           ++at) {
        score += rows[kWeight][held_out_rows_[at]] * examples.values[at];
      }
      scored.emplace_back(score, examples.labels[e] != 0);
    }
    return Auc(scored);
  }

 private:
  static std::vector<uint64_t> FeaturesOf(const LibsvmData& data) {
    std::vector<uint64_t> features = data.train.features;
    features.insert(features.end(), data.held_out.features.begin(),
                    data.held_out.features.end());
    std::sort(features.begin(), features.end());
    features.erase(std::unique(features.begin(), features.end()),
                   features.end());
    return features;
  }

  std::vector<uint32_t> RowsOf(const SparseExamples& examples) const {
    const std::vector<uint64_t>& keys = tables_[kWeight].keys;
    std::vector<uint32_t> rows;
    rows.reserve(examples.features.size());
    for (uint64_t feature : examples.features) {
      rows.push_back(static_cast<uint32_t>(
          std::lower_bound(keys.begin(), keys.end(), feature) - keys.begin()));
    }
    return rows;
  }

  const LibsvmData& data_;
  const std::vector<SparseTable> tables_;
  const std::vector<uint32_t> train_rows_;  // as data_.train.features
  const std::vector<uint32_t> held_out_rows_;
  DistinctRows distinct_;
};

}  // namespace

std::unique_ptr<SparseModel> MakeLogistic(const LibsvmData& data) {
  return std::make_unique<LogisticRegression>(data);
}

}  // namespace paramo
