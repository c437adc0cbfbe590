#include "worker/step/reference_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/check.h"
#include "worker/step/schedule_factor.h"

namespace paramo {

ReferenceTable::ReferenceTable(const JobFile& job, size_t dim,
                               std::vector<float> values)
    : dim_(dim),
      clipping_(job.clipping),
      schedule_(job.schedule),
      values_(std::move(values)),
      mean_(values_.size()),
      touched_((values_.size() + dim - 1) / dim),
      rule_(job.TableRule().name, job.TableRule().params, touched_.size(),
            dim) {}

absl::Span<const float> ReferenceTable::Row(size_t row) const {
  return absl::MakeConstSpan(values_).subspan(row * dim_, dim_);
}

absl::Span<float> ReferenceTable::RowOf(std::vector<float>& floats,
                                        size_t row) const {
  return absl::MakeSpan(floats).subspan(row * dim_, dim_);
}

void ReferenceTable::Contribute(float weight, absl::Span<const uint32_t> rows,
                                absl::Span<const float> gradients) {
  for (const uint32_t row : rows) {
    const absl::Span<float> mean = RowOf(mean_, row);
    const bool first = !touched_[row];
    PARAMO_CHECK(gradients.size() >= mean.size());
    for (size_t d = 0; d < mean.size(); ++d) {
      const float g = gradients[d];
      mean[d] = first ? weight * g : std::fma(weight, g, mean[d]);
    }
    gradients.remove_prefix(mean.size());
    if (first) round_.push_back(row);
    touched_[row] = true;
  }
}

void ReferenceTable::Close(uint64_t clock) {
  const double factor = ScheduleFactor(schedule_, clock);
  for (const uint32_t row : round_) {
    Clip(clipping_, RowOf(mean_, row));
    rule_.Apply(row, RowOf(mean_, row), RowOf(values_, row), factor);
    touched_[row] = false;
  }
  round_.clear();
}

void Clip(const Clipping& clipping, absl::Span<float> gradient) {
  if (clipping.value > 0) {
    const auto max = static_cast<float>(clipping.value);
    for (float& g : gradient) g = std::clamp(g, -max, max);
  }
  if (clipping.norm == 0) return;
  const double max = static_cast<float>(clipping.norm);
  const double norm = std::sqrt(SumOfSquares(gradient));
  if (!(norm > max)) return;
  for (float& g : gradient) g = static_cast<float>(g * (max / norm));
}

}  // namespace paramo
