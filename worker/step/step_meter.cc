#include "worker/step/step_meter.h"

#include <algorithm>
#include <vector>

namespace paramo {
namespace {

constexpr size_t kStepsMax = 1024;
constexpr absl::Duration kWindow = absl::Seconds(1);

// Nearest rank: the smallest value that at least `share` of them do not exceed.
double Percentile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<size_t>(
      share * static_cast<double>(sorted.size()) + 0.999999);
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

}  // namespace

void StepMeter::Add(absl::Duration now, double loss, absl::Duration step,
                    const StepTimes& times) {
  steps_.push_back({now, loss, absl::ToDoubleMilliseconds(step), times});
  if (steps_.size() > kStepsMax) steps_.pop_front();
}

StepMeter::Summary StepMeter::Summarize(absl::Duration now) {
  while (steps_.size() > 1 && now - steps_.front().at > kWindow) {
    steps_.pop_front();
  }
  if (steps_.empty()) return {};
  Summary summary;
  std::vector<double> ms;
  StepTimes sum;
  for (const Step& step : steps_) {
    summary.loss += step.loss;
    ms.push_back(step.ms);
    sum.input += step.times.input;
    sum.pull += step.times.pull;
    sum.compute += step.times.compute;
    sum.push += step.times.push;
    sum.wait += step.times.wait;
  }
  const auto count = static_cast<double>(steps_.size());
  summary.loss /= count;
  summary.input_ms = absl::ToDoubleMilliseconds(sum.input) / count;
  summary.pull_ms = absl::ToDoubleMilliseconds(sum.pull) / count;
  summary.compute_ms = absl::ToDoubleMilliseconds(sum.compute) / count;
  summary.push_ms = absl::ToDoubleMilliseconds(sum.push) / count;
  summary.wait_ms = absl::ToDoubleMilliseconds(sum.wait) / count;
  std::sort(ms.begin(), ms.end());
  summary.step_ms_p50 = Percentile(ms, 0.50);
  summary.step_ms_p99 = Percentile(ms, 0.99);
  return summary;
}

}  // namespace paramo
