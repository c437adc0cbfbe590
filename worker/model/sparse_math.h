// The arithmetic that sparse models share.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace paramo {

// Numbers the distinct items of a batch in the order they come, without
// clearing anything between batches.
class DistinctRows {
 public:
  explicit DistinctRows(size_t rows) : place_(rows), seen_(rows) {}

  // Begins a batch, whose distinct rows are appended to `rows`.
  void Begin(std::vector<uint32_t>* rows) {
    rows_ = rows;
    rows_->clear();
    ++batch_;
  }
  // The place of `row` in the batch's rows.
  uint32_t Place(uint32_t row) {
    if (seen_[row] != batch_) {
      seen_[row] = batch_;
      place_[row] = static_cast<uint32_t>(rows_->size());
      rows_->push_back(row);
    }
    return place_[row];
  }

 private:
  std::vector<uint32_t> place_;
  std::vector<uint64_t> seen_;  // the batch that has seen the row last
  uint64_t batch_ = 0;
  std::vector<uint32_t>* rows_ = nullptr;
};

// Logistic loss of a score for a label, and its derivative by the score.
struct LogisticTerm {
  double loss;
  float slope;
};
inline LogisticTerm Logistic(float score, bool label) {
  // log(1 + exp(-m)) for the margin m, without overflow on either side.
  const float margin = label ? score : -score;
  const float tail = std::exp(-std::fabs(margin));
  const double loss = std::log1p(tail) + (margin < 0 ? -margin : 0.0f);
  const float p = (score >= 0 ? 1.0f : tail) / (1.0f + tail);
  return {loss, p - (label ? 1.0f : 0.0f)};
}

// The chance that a random positive scores above a random negative, ties
// counting half; by ranks (Mann, Whitney 1947). Both kinds must be there.
// `scored`: (score, is positive); sorted in place.
double Auc(std::vector<std::pair<float, bool>>& scored);

}  // namespace paramo
