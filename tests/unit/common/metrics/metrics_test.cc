#include "common/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace paramo {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

double ValueOf(const MetricsRegistry& registry, const std::string& name,
               const std::string& labels = "") {
  for (const MetricSample& sample : registry.Collect())
    if (sample.name == name && sample.labels == labels) return sample.value;
  ADD_FAILURE() << "no sample " << name << labels;
  return -1;
}

TEST(Counter, LosesNothingUnderThreads) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&counter] {
      for (int i = 0; i < 10'000; ++i) counter.Add(3);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.Value(), 4u * 10'000 * 3);
}

TEST(Histogram, BucketsMeetAndCoverEveryValue) {
  for (size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    const uint64_t start = Histogram::BucketStart(bucket);
    EXPECT_EQ(Histogram::BucketOf(start), bucket);
    if (bucket > 0) {
      EXPECT_EQ(Histogram::BucketOf(start - 1), bucket - 1);
    }
  }
  EXPECT_EQ(Histogram::BucketOf(UINT64_MAX), Histogram::kBuckets - 1);
}

TEST(Histogram, QuantileIsWithinOneSixteenth) {
  Histogram histogram;
  for (uint64_t value = 1; value <= 10'000; ++value) histogram.Record(value);
  EXPECT_EQ(histogram.Count(), 10'000u);
  EXPECT_EQ(histogram.Sum(), 10'000u * 10'001 / 2);
  for (const double q : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = q * 10'000;
    EXPECT_NEAR(histogram.Quantile(q), exact, exact / 16) << q;
  }
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (const uint64_t value : {3, 3, 5}) histogram.Record(value);
  EXPECT_EQ(histogram.Quantile(0), 3);
  EXPECT_EQ(histogram.Quantile(0.5), 3);
  EXPECT_EQ(histogram.Quantile(1), 5);
  EXPECT_EQ(Histogram().Quantile(0.5), 0);
}

TEST(Histogram, CountsBelowAPowerOfTwo) {
  Histogram histogram;
  for (const uint64_t value : {0, 7, 8, 1023, 1024}) histogram.Record(value);
  EXPECT_EQ(histogram.CountBelow(1), 1u);
  EXPECT_EQ(histogram.CountBelow(8), 2u);
  EXPECT_EQ(histogram.CountBelow(1024), 4u);
  EXPECT_EQ(histogram.CountBelow(2048), 5u);
}

TEST(MetricsRegistry, SameNameAndLabelsAreOneMetric) {
  MetricsRegistry registry;
  Counter& a = registry.AddCounter("paramo_refused_total", "Refusals.",
                                   {{"reason", "keys"}});
  Counter& b = registry.AddCounter("paramo_refused_total", "Refusals.",
                                   {{"reason", "keys"}});
  Counter& c = registry.AddCounter("paramo_refused_total", "Refusals.",
                                   {{"reason", "rows"}});
  EXPECT_EQ(&a, &b);
  EXPECT_NE(&a, &c);
}

TEST(MetricsRegistry, CollectGivesCountSumAndQuantilesOfAHistogram) {
  MetricsRegistry registry;
  Histogram& histogram = registry.AddHistogram(
      "paramo_push_seconds", "Time of a push.", 1e-9, {{"table", "ads"}});
  histogram.Record(4'000'000'000);
  EXPECT_EQ(ValueOf(registry, "paramo_push_seconds_count", "{table=\"ads\"}"),
            1);
  EXPECT_NEAR(ValueOf(registry, "paramo_push_seconds_sum", "{table=\"ads\"}"),
              4.0, 1e-9);
  EXPECT_NEAR(ValueOf(registry, "paramo_push_seconds",
                      "{table=\"ads\",quantile=\"0.5\"}"),
              4.0, 4.0 / 16);
}

TEST(MetricsRegistry, CollectGivesCumulativeBuckets) {
  MetricsRegistry registry;
  Histogram& histogram =
      registry.AddHistogram("paramo_lag", "Clocks.", 1, {{"job", "a"}});
  for (const uint64_t value : {0, 0, 1, 3}) histogram.Record(value);
  const auto below = [&](const char* le) {
    return ValueOf(registry, "paramo_lag_bucket",
                   std::string("{job=\"a\",le=\"") + le + "\"}");
  };
  EXPECT_EQ(below("0"), 2);
  EXPECT_EQ(below("1"), 3);
  EXPECT_EQ(below("3"), 4);
}

TEST(MetricsRegistry, GaugeFunctionIsReadUntilItsTokenGoes) {
  MetricsRegistry registry;
  int rows = 7;
  auto token = registry.AddGaugeFunction("paramo_rows", "Rows held.", {},
                                         [&rows] { return rows * 1.0; });
  EXPECT_EQ(ValueOf(registry, "paramo_rows"), 7);
  rows = 9;
  EXPECT_EQ(ValueOf(registry, "paramo_rows"), 9);
  token.reset();
  EXPECT_THAT(registry.PrometheusText(), Not(HasSubstr("paramo_rows 9")));
  // The name is free again.
  token = registry.AddGaugeFunction("paramo_rows", "Rows held.", {},
                                    [] { return 1.0; });
  EXPECT_EQ(ValueOf(registry, "paramo_rows"), 1);
}

TEST(MetricsRegistry, GaugeFunctionMayUseTheRegistry) {
  MetricsRegistry registry;
  auto token = registry.AddGaugeFunction("paramo_a", "A.", {}, [&registry] {
    return static_cast<double>(
        registry.AddCounter("paramo_b_total", "B.").Value());
  });
  EXPECT_EQ(ValueOf(registry, "paramo_a"), 0);
}

TEST(MetricsRegistry, TextHasHelpAndTypeOncePerFamilyInOrder) {
  MetricsRegistry registry;
  registry.AddGauge("paramo_z", "Last.").Set(-3);
  registry.AddCounter("paramo_a_total", "First.", {{"m", "push"}}).Add(2);
  registry.AddCounter("paramo_a_total", "First.", {{"m", "pull"}}).Add(5);
  EXPECT_EQ(registry.PrometheusText(),
            "# HELP paramo_a_total First.\n"
            "# TYPE paramo_a_total counter\n"
            "paramo_a_total{m=\"push\"} 2\n"
            "paramo_a_total{m=\"pull\"} 5\n"
            "# HELP paramo_z Last.\n"
            "# TYPE paramo_z gauge\n"
            "paramo_z -3\n");
}

TEST(MetricsRegistry, TextOfAHistogramIsCumulative) {
  MetricsRegistry registry;
  Histogram& histogram = registry.AddHistogram("paramo_b_bytes", "B.", 1);
  for (const uint64_t value : {0, 1, 3}) histogram.Record(value);
  EXPECT_EQ(registry.PrometheusText(),
            "# HELP paramo_b_bytes B.\n"
            "# TYPE paramo_b_bytes histogram\n"
            "paramo_b_bytes_bucket{le=\"0\"} 1\n"
            "paramo_b_bytes_bucket{le=\"1\"} 2\n"
            "paramo_b_bytes_bucket{le=\"3\"} 3\n"
            "paramo_b_bytes_bucket{le=\"+Inf\"} 3\n"
            "paramo_b_bytes_sum 4\n"
            "paramo_b_bytes_count 3\n");
}

TEST(MetricsRegistry, EscapesWhatComesFromOutside) {
  MetricsRegistry registry;
  registry.AddCounter("paramo_a_total", "Two\nlines.",
                      {{"table", "x\"} 1\npwned 1\n\\"}});
  EXPECT_EQ(registry.PrometheusText(),
            "# HELP paramo_a_total Two\\nlines.\n"
            "# TYPE paramo_a_total counter\n"
            "paramo_a_total{table=\"x\\\"} 1\\npwned 1\\n\\\\\"} 0\n");
}

}  // namespace
}  // namespace paramo
