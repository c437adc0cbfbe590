// What the registry and its readers (samples, text, HTTP) share.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/metrics/metrics.h"
#include "common/metrics/metrics_http.h"

namespace paramo {

// One member of a family: a counter, a histogram, or a gauge, whose value is
// `read` when that is set.
struct MetricsRegistry::Metric {
  std::string labels;  // rendered, with braces; empty when there are none
  double unit = 1;     // histograms only
  std::unique_ptr<Counter> counter;
  std::unique_ptr<Gauge> gauge;
  std::unique_ptr<Histogram> histogram;

  Mutex mu;  // held while `read` runs, so that its owner can wait for it
  std::function<double()> read ABSL_GUARDED_BY(mu);

  // Value of a counter or gauge.
  double Value();
};

struct MetricsRegistry::Family {
  std::string name;
  std::string help;
  MetricType type;
  std::vector<std::shared_ptr<Metric>> metrics;  // guarded by the registry
};

// {a="1"} and "quantile", "0.5" give {a="1",quantile="0.5"}.
std::string WithLabel(const std::string& labels, const char* name,
                      const std::string& value);

// The response to a request whose head is `head`, whatever that holds.
std::string AnswerHttp(const MetricsHttp::Options& options,
                       const std::string& head);

}  // namespace paramo
