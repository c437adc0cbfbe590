// Counters, gauges and histograms of one process, and the registry that lists
// them. Recording is lock-free and allocates nothing; reading is for people
// and scrapers, at most a few times a second.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/mutex.h"

namespace paramo {

namespace metrics_internal {
// Writers of one counter spread over this many cache lines.
inline constexpr size_t kStripes = 8;
// This thread's stripe, fixed at its first call.
size_t ThreadStripe();
}  // namespace metrics_internal

// Only grows. Threads: any; each adds to a cache line that it shares with few
// others, so that counting never becomes the point of contention.
class Counter {
 public:
  void Add(uint64_t n = 1) {
    stripes_[metrics_internal::ThreadStripe()].value.fetch_add(
        n, std::memory_order_relaxed);
  }
  // Sum over the stripes; concurrent Adds may or may not be part of it.
  uint64_t Value() const;

 private:
  // Relaxed everywhere: a counter orders nothing.
  struct alignas(64) Stripe {
    std::atomic<uint64_t> value{0};
  };
  std::array<Stripe, metrics_internal::kStripes> stripes_;
};

// Goes up and down. Threads: any.
class Gauge {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t Value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Distribution of whole numbers in fixed memory (4 KB): 8 equal buckets per
// power of two, so a quantile is within 1/16 of the true value. Values are in
// a unit small enough to be whole (nanoseconds, bytes, rows). Threads: any.
class Histogram {
 public:
  void Record(uint64_t value) {
    buckets_[BucketOf(value)].fetch_add(1, std::memory_order_relaxed);
    sum_.Add(value);
  }

  uint64_t Count() const;
  uint64_t Sum() const { return sum_.Value(); }

  // The value below which a share `q` in [0, 1] of all recorded ones lies:
  // the middle of its bucket. 0 when nothing was recorded.
  double Quantile(double q) const;

  // Recorded values below `bound`, a power of two.
  uint64_t CountBelow(uint64_t bound) const;

  // 0..7 have a bucket each; then 8 buckets for every power of two from 2^3 to
  // 2^63: 8 + 61 * 8.
  static constexpr size_t kBuckets = 496;
  static size_t BucketOf(uint64_t value);
  static uint64_t BucketStart(size_t bucket);

 private:
  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  Counter sum_;
};

enum class MetricType { kCounter, kGauge, kHistogram };

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// One value, as Stats and the Prometheus page list it.
struct MetricSample {
  std::string name;    // a histogram: also name_count, name_sum, name_bucket
  std::string labels;  // {reason="checksum"}, escaped; or empty
  double value = 0;    // in the metric's exposed unit
  MetricType type = MetricType::kCounter;
  std::string help;
};

// Owns every metric of a process (or of one test). Made by the composition
// root, passed by reference, outlives all that records. Threads: any; take the
// references once, at construction, not per event.
//
// Asking for the same name and labels again gives the same object. Names obey
// Prometheus ([a-zA-Z_:][a-zA-Z0-9_:]*), start with "paramo_" and end in their
// unit: _total, _bytes, _seconds.
class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  Counter& AddCounter(absl::string_view name, absl::string_view help,
                      MetricLabels labels = {});
  Gauge& AddGauge(absl::string_view name, absl::string_view help,
                  MetricLabels labels = {});
  // `unit`: what one recorded unit is in the exposed one; nanoseconds shown as
  // seconds have 1e-9.
  Histogram& AddHistogram(absl::string_view name, absl::string_view help,
                          double unit, MetricLabels labels = {});

  // A gauge computed when it is read, on the reading thread, without the
  // registry's lock; must be quick. Dropping the token removes the gauge, and
  // returns only when no thread is running `read` any more.
  using Token = std::shared_ptr<void>;
  [[nodiscard]] Token AddGaugeFunction(absl::string_view name,
                                       absl::string_view help,
                                       MetricLabels labels,
                                       std::function<double()> read);

  // Every value, families in order of name. A histogram: its _count and _sum,
  // quantiles 0.5, 0.9, 0.99, 0.999, and _bucket as on the page but for +Inf.
  std::vector<MetricSample> Collect() const;

  // The Prometheus text page, version 0.0.4. A histogram comes as cumulative
  // buckets with a power-of-two bound each, so that scrapes can be subtracted.
  std::string PrometheusText() const;

 private:
  struct Metric;
  struct Family;
  struct Entry {  // one metric and the family it belongs to
    const Family* family;
    std::shared_ptr<Metric> metric;
  };

  // The metric of that name and labels, made when there is none yet.
  Metric& Find(absl::string_view name, absl::string_view help, MetricType type,
               double unit, const MetricLabels& labels);
  void Remove(const Metric* metric);
  std::vector<Entry> Entries() const;

  mutable Mutex mu_;
  // Sorted by name. Families stay for ever; readers use them unlocked.
  std::vector<std::unique_ptr<Family>> families_ ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo
