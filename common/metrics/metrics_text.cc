// The registry's two readers: flat samples for Stats, text for Prometheus.
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/metrics/metrics.h"
#include "common/metrics/metrics_internal.h"

namespace paramo {
namespace {

constexpr double kQuantiles[] = {0.5, 0.9, 0.99, 0.999};

// Text after # HELP may not hold a newline or a lone backslash; a label value
// may hold no quote either.
std::string Escape(absl::string_view text, bool quotes) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\n') {
      escaped += "\\n";
    } else if (c == '\\' || (quotes && c == '"')) {
      escaped += '\\';
      escaped += c;
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// The shortest text that reads back as the same double.
std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  const std::string brief = absl::StrFormat("%.15g", value);
  return std::stod(brief) == value ? brief : absl::StrFormat("%.17g", value);
}

const char* TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

struct Bucket {
  std::string le;      // its highest value, in the exposed unit
  uint64_t count = 0;  // of that and lower ones
};

// Cumulative buckets at powers of two, up to the first that holds everything.
std::vector<Bucket> BucketsOf(const Histogram& histogram, uint64_t count,
                              double unit) {
  std::vector<Bucket> buckets;
  uint64_t below = 0;
  for (int power = 0; power < 63 && below < count; ++power) {
    const uint64_t bound = uint64_t{1} << power;
    below = std::min(histogram.CountBelow(bound), count);
    // Values are whole: below `bound` is the same as at most bound - 1.
    buckets.push_back({Number(static_cast<double>(bound - 1) * unit), below});
  }
  return buckets;
}

void AppendBuckets(std::string& text, const std::string& name,
                   const std::string& labels, const Histogram& histogram,
                   double unit) {
  // Read before the buckets, so that no bucket exceeds +Inf by much; a scrape
  // during a Record may still be one event apart, which Prometheus accepts.
  const double sum = static_cast<double>(histogram.Sum()) * unit;
  const uint64_t count = histogram.Count();
  for (const Bucket& bucket : BucketsOf(histogram, count, unit)) {
    absl::StrAppend(&text, name, "_bucket", WithLabel(labels, "le", bucket.le),
                    " ", bucket.count, "\n");
  }
  absl::StrAppend(&text, name, "_bucket", WithLabel(labels, "le", "+Inf"), " ",
                  count, "\n", name, "_sum", labels, " ", Number(sum), "\n",
                  name, "_count", labels, " ", count, "\n");
}

}  // namespace

std::string WithLabel(const std::string& labels, const char* name,
                      const std::string& value) {
  const std::string label =
      absl::StrCat(name, "=\"", Escape(value, /*quotes=*/true), "\"");
  if (labels.empty()) return absl::StrCat("{", label, "}");
  return absl::StrCat(labels.substr(0, labels.size() - 1), ",", label, "}");
}

std::vector<MetricSample> MetricsRegistry::Collect() const {
  std::vector<MetricSample> samples;
  for (const Entry& entry : Entries()) {
    MetricSample sample;
    sample.name = entry.family->name;
    sample.labels = entry.metric->labels;
    sample.type = entry.family->type;
    sample.help = entry.family->help;
    const Histogram* histogram = entry.metric->histogram.get();
    if (histogram == nullptr) {
      sample.value = entry.metric->Value();
      samples.push_back(std::move(sample));
      continue;
    }
    const double unit = entry.metric->unit;
    sample.name = entry.family->name + "_count";
    sample.value = static_cast<double>(histogram->Count());
    samples.push_back(sample);
    sample.name = entry.family->name + "_sum";
    sample.value = static_cast<double>(histogram->Sum()) * unit;
    samples.push_back(sample);
    sample.name = entry.family->name;
    for (const double q : kQuantiles) {
      sample.labels = WithLabel(entry.metric->labels, "quantile", Number(q));
      sample.value = histogram->Quantile(q) * unit;
      samples.push_back(sample);
    }
    sample.name = entry.family->name + "_bucket";
    for (const Bucket& bucket :
         BucketsOf(*histogram, histogram->Count(), unit)) {
      sample.labels = WithLabel(entry.metric->labels, "le", bucket.le);
      sample.value = static_cast<double>(bucket.count);
      samples.push_back(sample);
    }
  }
  return samples;
}

std::string MetricsRegistry::PrometheusText() const {
  std::string text;
  const Family* current = nullptr;
  for (const Entry& entry : Entries()) {
    if (entry.family != current) {
      current = entry.family;
      absl::StrAppend(&text, "# HELP ", current->name, " ",
                      Escape(current->help, /*quotes=*/false), "\n# TYPE ",
                      current->name, " ", TypeName(current->type), "\n");
    }
    if (entry.metric->histogram != nullptr) {
      AppendBuckets(text, current->name, entry.metric->labels,
                    *entry.metric->histogram, entry.metric->unit);
    } else {
      absl::StrAppend(&text, current->name, entry.metric->labels, " ",
                      Number(entry.metric->Value()), "\n");
    }
  }
  return text;
}

}  // namespace paramo
