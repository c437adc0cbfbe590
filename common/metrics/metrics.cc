// Counters, histograms, and the registry's bookkeeping.
#include "common/metrics/metrics.h"

#include <algorithm>
#include <bit>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/metrics/metrics_internal.h"

namespace paramo {

size_t metrics_internal::ThreadStripe() {
  static std::atomic<size_t> threads{0};
  thread_local const size_t stripe =
      threads.fetch_add(1, std::memory_order_relaxed) % kStripes;
  return stripe;
}

uint64_t Counter::Value() const {
  uint64_t sum = 0;
  for (const Stripe& stripe : stripes_)
    sum += stripe.value.load(std::memory_order_relaxed);
  return sum;
}

// A value of 4 bits or more lands in 8 x (its highest bit - 2) + the three
// bits below that one; 8..15 are buckets 8..15, so the two ranges meet.
size_t Histogram::BucketOf(uint64_t value) {
  if (value < 8) return value;
  const int top = std::bit_width(value) - 1;  // 3..63
  return 8 * (top - 2) + ((value >> (top - 3)) & 7);
}

uint64_t Histogram::BucketStart(size_t bucket) {
  if (bucket < 8) return bucket;
  const int top = static_cast<int>(bucket / 8) + 2;
  return (8 + bucket % 8) << (top - 3);
}

uint64_t Histogram::Count() const {
  uint64_t count = 0;
  for (const auto& bucket : buckets_)
    count += bucket.load(std::memory_order_relaxed);
  return count;
}

uint64_t Histogram::CountBelow(uint64_t bound) const {
  PARAMO_CHECK(std::has_single_bit(bound));
  uint64_t count = 0;
  for (size_t i = 0; i < BucketOf(bound); ++i)
    count += buckets_[i].load(std::memory_order_relaxed);
  return count;
}

double Histogram::Quantile(double q) const {
  std::array<uint64_t, kBuckets> counts;  // one reading, so that it adds up
  uint64_t total = 0;
  for (size_t i = 0; i < kBuckets; ++i)
    total += counts[i] = buckets_[i].load(std::memory_order_relaxed);
  if (total == 0) return 0;

  // The rank-th smallest, counted from 1.
  const uint64_t rank = std::clamp<uint64_t>(
      static_cast<uint64_t>(q * static_cast<double>(total) + 0.5), 1, total);
  size_t bucket = 0;
  for (uint64_t seen = counts[0]; seen < rank; seen += counts[bucket]) ++bucket;
  const uint64_t width = bucket < 16 ? 1 : uint64_t{1} << (bucket / 8 - 1);
  return static_cast<double>(BucketStart(bucket)) +
         static_cast<double>(width - 1) / 2;
}

double MetricsRegistry::Metric::Value() {
  if (counter != nullptr) return static_cast<double>(counter->Value());
  MutexLock lock(mu);
  return read ? read() : static_cast<double>(gauge->Value());
}

namespace {

bool IsMetricName(absl::string_view name) {
  if (name.empty() || absl::ascii_isdigit(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == ':';
  });
}

std::string RenderLabels(const MetricLabels& labels) {
  std::string rendered;
  for (const auto& label : labels) {
    PARAMO_CHECK(IsMetricName(label.first));
    rendered = WithLabel(rendered, label.first.c_str(), label.second);
  }
  return rendered;
}

}  // namespace

MetricsRegistry::MetricsRegistry() = default;
MetricsRegistry::~MetricsRegistry() = default;

MetricsRegistry::Metric& MetricsRegistry::Find(absl::string_view name,
                                               absl::string_view help,
                                               MetricType type, double unit,
                                               const MetricLabels& labels) {
  PARAMO_CHECK(IsMetricName(name));
  const std::string rendered = RenderLabels(labels);
  MutexLock lock(mu_);
  auto at = std::lower_bound(
      families_.begin(), families_.end(), name,
      [](const auto& family, absl::string_view n) { return family->name < n; });
  if (at == families_.end() || (*at)->name != name) {
    auto family = std::make_unique<Family>();
    family->name = std::string(name.data(), name.size());
    family->help = std::string(help.data(), help.size());
    family->type = type;
    at = families_.insert(at, std::move(family));
  }
  PARAMO_CHECK((*at)->type == type);  // one name, one type
  for (const auto& metric : (*at)->metrics)
    if (metric->labels == rendered) return *metric;

  auto metric = std::make_shared<Metric>();
  metric->labels = rendered;
  metric->unit = unit;
  if (type == MetricType::kCounter)
    metric->counter = std::make_unique<Counter>();
  if (type == MetricType::kGauge) metric->gauge = std::make_unique<Gauge>();
  if (type == MetricType::kHistogram)
    metric->histogram = std::make_unique<Histogram>();
  (*at)->metrics.push_back(std::move(metric));
  return *(*at)->metrics.back();
}

Counter& MetricsRegistry::AddCounter(absl::string_view name,
                                     absl::string_view help,
                                     MetricLabels labels) {
  return *Find(name, help, MetricType::kCounter, 1, labels).counter;
}

Gauge& MetricsRegistry::AddGauge(absl::string_view name, absl::string_view help,
                                 MetricLabels labels) {
  return *Find(name, help, MetricType::kGauge, 1, labels).gauge;
}

Histogram& MetricsRegistry::AddHistogram(absl::string_view name,
                                         absl::string_view help, double unit,
                                         MetricLabels labels) {
  return *Find(name, help, MetricType::kHistogram, unit, labels).histogram;
}

MetricsRegistry::Token MetricsRegistry::AddGaugeFunction(
    absl::string_view name, absl::string_view help, MetricLabels labels,
    std::function<double()> read) {
  Metric* metric = &Find(name, help, MetricType::kGauge, 1, labels);
  {
    MutexLock lock(metric->mu);
    PARAMO_CHECK(!metric->read);  // one owner per name and labels
    metric->read = std::move(read);
  }
  return Token(metric, [this](void* token) {
    Metric* dropped = static_cast<Metric*>(token);
    {
      MutexLock lock(dropped->mu);
      dropped->read = nullptr;
    }
    Remove(dropped);
  });
}

void MetricsRegistry::Remove(const Metric* metric) {
  MutexLock lock(mu_);
  for (const auto& family : families_) {
    auto& metrics = family->metrics;
    metrics.erase(
        std::remove_if(metrics.begin(), metrics.end(),
                       [metric](const auto& m) { return m.get() == metric; }),
        metrics.end());
  }
}

std::vector<MetricsRegistry::Entry> MetricsRegistry::Entries() const {
  std::vector<Entry> entries;
  MutexLock lock(mu_);
  for (const auto& family : families_) {
    for (const auto& metric : family->metrics) {
      Entry entry;
      entry.family = family.get();
      entry.metric = metric;
      entries.push_back(std::move(entry));
    }
  }
  return entries;
}

}  // namespace paramo
