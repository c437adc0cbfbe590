// One table of a reference run, whole in memory: what servers do to a round, in
// plain scalar loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "worker/model/reference_rule.h"
#include "worker/step/job_file.h"

namespace paramo {

// Threads: one. Rows go by number, from 0.
class ReferenceTable {
 public:
  // `values` are those before the first step: [rows, dim], row-major. A dense
  // tensor has blocks for rows, of which the last may be shorter.
  ReferenceTable(const JobFile& job, size_t dim, std::vector<float> values);

  const std::vector<float>& values() const { return values_; }
  std::vector<float> TakeValues() { return std::move(values_); }
  size_t rows() const { return touched_.size(); }
  absl::Span<const float> Row(size_t row) const;

  // Adds one rank's gradients to the round, as servers do it: in the order of
  // ranks, one fused multiply-add per term.
  // Shapes: gradients: of each of `rows` in turn, as long as the row is.
  void Contribute(float weight, absl::Span<const uint32_t> rows,
                  absl::Span<const float> gradients);

  // The rule's step with the mean, for every row touched; then the next round.
  void Close(uint64_t clock);

 private:
  absl::Span<float> RowOf(std::vector<float>& floats, size_t row) const;

  const size_t dim_;
  const Clipping clipping_;
  const Schedule schedule_;
  std::vector<float> values_;
  std::vector<float> mean_;      // of the round, where touched
  std::vector<bool> touched_;    // by row, in this round
  std::vector<uint32_t> round_;  // the rows touched
  ReferenceRule rule_;
};

// Cuts the elements, then the length, of one row's gradient.
void Clip(const Clipping& clipping, absl::Span<float> gradient);

}  // namespace paramo
