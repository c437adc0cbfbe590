#include "tests/bench/figures.h"

#include <algorithm>
#include <cmath>

namespace paramo::bench {
namespace {

// A run too short to count anything gives 0, not infinity.
double Per(double value, double divisor) {
  return divisor > 0 ? value / divisor : 0;
}

template <typename F>
std::vector<double> Each(absl::Span<const Sample> runs, F f) {
  std::vector<double> values;
  for (const Sample& run : runs) values.push_back(f(run));
  return values;
}

bool MostlyDisturbed(absl::Span<const Sample> runs) {
  size_t disturbed = 0;
  for (const Sample& run : runs) disturbed += run.disturbed ? 1 : 0;
  return !runs.empty() && 2 * disturbed >= runs.size();
}

bool Meets(double ratio, const Target& target) {
  if (target.op == ">=") return ratio >= target.ratio;
  return target.op == "<=" && ratio <= target.ratio;
}

}  // namespace

const char* NameOf(Unit unit) {
  switch (unit) {
    case Unit::kGigabytes:
      return "GB/s";
    case Unit::kRows:
      return "rows/s";
    case Unit::kMessages:
      return "messages/s";
    case Unit::kSeconds:
      return "s";
    case Unit::kP50:
      return "p50 us";
    case Unit::kP99:
      return "p99 us";
    case Unit::kP999:
      return "p99.9 us";
    case Unit::kCpuPerRow:
      return "CPU us/1000 rows";
  }
  return "";
}

double ValueOf(const Sample& sample, Unit unit) {
  switch (unit) {
    case Unit::kGigabytes:
      return Per(sample.bytes / 1e9, sample.seconds);
    case Unit::kRows:
      return Per(sample.rows, sample.seconds);
    case Unit::kMessages:
      return Per(sample.messages, sample.seconds);
    case Unit::kSeconds:
      return sample.seconds;
    case Unit::kP50:
      return sample.p50_us;
    case Unit::kP99:
      return sample.p99_us;
    case Unit::kP999:
      return sample.p999_us;
    case Unit::kCpuPerRow:
      return CpuOf(sample, unit);
  }
  return 0;
}

double CpuOf(const Sample& sample, Unit unit) {
  switch (unit) {
    case Unit::kGigabytes:
      return Per(sample.cpu_seconds, sample.bytes / 1e9);
    case Unit::kRows:
    case Unit::kCpuPerRow:
      return Per(sample.cpu_seconds * 1e6, sample.rows / 1e3);
    default:
      return Per(sample.cpu_seconds * 1e6, sample.messages);
  }
}

const char* CpuNameOf(Unit unit) {
  switch (unit) {
    case Unit::kGigabytes:
      return "s/GB";
    case Unit::kRows:
    case Unit::kCpuPerRow:
      return "us/1000 rows";
    default:
      return "us/request";
  }
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

double Spread(const std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return Per(*high - *low, Median(values));
}

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto size = static_cast<double>(values.size());
  const double rank = std::clamp(std::ceil(q * size), 1.0, size);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(rank) - 1;
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

Row MakeRow(const Line& line, absl::Span<const Sample> runs,
            absl::Span<const Sample> floor, const std::string& floor_name) {
  const auto value = [&](const Sample& run) { return ValueOf(run, line.unit); };
  const auto cpu = [&](const Sample& run) { return CpuOf(run, line.unit); };
  const std::vector<double> values = Each(runs, value);
  Row row;
  row.name = line.name;
  row.unit = line.unit;
  row.value = Median(values);
  row.cpu = Median(Each(runs, cpu));
  row.spread = Spread(values);
  row.noisy = MostlyDisturbed(runs) || MostlyDisturbed(floor);
  row.explained_in = line.explained_in;
  if (floor.empty()) return row;
  row.floor = floor_name;
  row.floor_value = Median(Each(floor, value));
  row.floor_cpu = Median(Each(floor, cpu));
  row.ratio = Per(row.value, row.floor_value);
  row.target = line.target;
  row.met = Meets(row.ratio, row.target);
  return row;
}

}  // namespace paramo::bench
