#include "client/cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

using ::testing::HasSubstr;

v1::JobReport Report(uint64_t examples) {
  v1::JobReport report;
  report.mutable_spec()->set_name("fashion");
  report.mutable_spec()->set_epochs(5);
  report.mutable_spec()->set_examples(60'000);
  report.set_examples(examples);
  report.set_push_bytes(examples * 100);
  report.set_pull_bytes(examples * 50);
  report.set_metric_name("accuracy");
  report.set_metric(0.8712);
  report.set_metric_epoch(2);
  for (uint32_t i = 0; i < 2; ++i) {
    v1::WorkerReport& worker = *report.add_workers();
    worker.set_worker(i);
    worker.set_pid(100 + i);
    worker.set_live(true);
    worker.mutable_progress()->set_clock(10);
    worker.mutable_progress()->set_loss(0.3 + 0.1 * i);
    worker.mutable_progress()->set_step_ms_p50(2 + i);
    worker.mutable_progress()->set_step_ms_p99(8 + i);
    worker.mutable_progress()->set_pull_ms(0.5 + i);
    worker.mutable_progress()->set_compute_ms(1.5);
  }
  return report;
}

TEST(Progress, ComputesRatesOverTheLastTwoSeconds) {
  ProgressMeter meter;
  meter.Observe(Report(0), absl::Seconds(0));
  meter.Observe(Report(1000), absl::Seconds(1));
  meter.Observe(Report(3000), absl::Seconds(2));
  // From second 1 to 3: (9000 - 1000) / 2.
  const ProgressView view = meter.Observe(Report(9000), absl::Seconds(3));
  EXPECT_DOUBLE_EQ(view.examples_per_second, 4000);
  EXPECT_DOUBLE_EQ(view.push_bytes_per_second, 400'000);
  EXPECT_DOUBLE_EQ(view.pull_bytes_per_second, 200'000);
  EXPECT_DOUBLE_EQ(view.epoch, 0.15);
}

TEST(Progress, AveragesOverLiveWorkersThatHaveStepped) {
  v1::JobReport report = Report(1000);
  v1::WorkerReport& dead = *report.add_workers();
  dead.mutable_progress()->set_clock(3);
  dead.mutable_progress()->set_loss(99);
  v1::WorkerReport& fresh = *report.add_workers();
  fresh.set_live(true);
  const ProgressView view = ProgressMeter().Observe(report, absl::Seconds(1));
  EXPECT_NEAR(view.loss, 0.35, 1e-12);
  EXPECT_DOUBLE_EQ(view.step_ms_p50, 2.5);
  EXPECT_DOUBLE_EQ(view.step_ms_p99, 9);
  EXPECT_EQ(view.live_workers, 3u);
}

TEST(Progress, KeepsTheLastWordsOfWorkersThatHaveLeft) {
  ProgressMeter meter;
  v1::JobReport report = Report(1000);
  meter.Observe(report, absl::Seconds(1));
  for (v1::WorkerReport& worker : *report.mutable_workers()) {
    worker.set_live(false);
  }
  const ProgressView view = meter.Observe(report, absl::Seconds(2));
  EXPECT_EQ(view.live_workers, 0u);
  EXPECT_NEAR(view.loss, 0.35, 1e-12);
  EXPECT_DOUBLE_EQ(view.step_ms_p99, 9);
}

TEST(Progress, NeverPassesTheLastEpoch) {
  const ProgressView view =
      ProgressMeter().Observe(Report(400'000), absl::Seconds(1));
  EXPECT_DOUBLE_EQ(view.epoch, 5);
  EXPECT_DOUBLE_EQ(view.examples_per_second, 0);  // one sample: no rate yet
}

TEST(Progress, SurvivesCountersThatGoBack) {
  ProgressMeter meter;
  meter.Observe(Report(5000), absl::Seconds(0));
  EXPECT_DOUBLE_EQ(
      meter.Observe(Report(10), absl::Seconds(1)).examples_per_second, 0);
}

TEST(Progress, ShowsEverythingInOneLine) {
  const std::string line = ProgressLine(
      ProgressMeter().Observe(Report(150'000), absl::Seconds(12.34)));
  for (const char* part :
       {"12.3 s", "epoch 2.50/5", "loss 0.3500", "accuracy 0.8712 (epoch 2)",
        "0 examples/s", "push 0 B/s", "p50 2.5 ms p99 9.0 ms", "workers 2"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(Progress, BlockFitsItsTerminal) {
  const ProgressView view =
      ProgressMeter().Observe(Report(150'000), absl::Seconds(12));
  EXPECT_THAT(ProgressBlock(view, 79),
              HasSubstr("[############............]   50 %"));
  EXPECT_THAT(ProgressBlock(view, 79),
              HasSubstr("\nworkers 0 (pid 100)    2.0 ms: input 0.0 pull 0.5 "
                        "compute 1.5 push 0.0 wait 0.0\n"
                        "        1 (pid 101)    3.0 ms: input 0.0 pull 1.5"));
  for (absl::string_view line : absl::StrSplit(ProgressBlock(view, 20), '\n')) {
    EXPECT_LE(line.size(), 20u);
  }
}

TEST(Progress, BlockNamesAFewOfManyWorkersAndTheDead) {
  v1::JobReport report = Report(1);
  report.set_deaths(2);
  while (report.workers_size() < 20) *report.add_workers() = report.workers(0);
  report.mutable_workers(2)->mutable_progress()->set_step_ms_p50(0);
  const std::string block =
      ProgressBlock(ProgressMeter().Observe(report, absl::Seconds(1)), 79);
  EXPECT_THAT(block, HasSubstr("0 (pid 100)  no step yet\n"));
  EXPECT_THAT(block, HasSubstr("        and 12 more\ndead    2\n"));
  EXPECT_EQ(std::count(block.begin(), block.end(), '\n'), 4 + 8 + 2);
}

// {job, le, value}: as Stats lists them, cumulative.
void AddBuckets(v1::StatsReply& stats, const std::string& job,
                const std::vector<std::pair<int, double>>& buckets) {
  for (const auto& bucket : buckets) {
    v1::Metric& metric = *stats.add_metrics();
    metric.set_name("paramo_push_staleness_clocks_bucket");
    metric.set_labels(
        absl::StrCat("{job=\"", job, "\",le=\"", bucket.first, "\"}"));
    metric.set_value(bucket.second);
  }
}

TEST(Progress, ShowsTheStalenessOfTheJobOverAllServers) {
  v1::StatsReply one;
  AddBuckets(one, "fashion", {{0, 60}, {1, 90}});
  AddBuckets(one, "fashion-2", {{0, 7}});  // another job
  one.add_metrics()->set_name("paramo_push_staleness_clocks_count");
  v1::StatsReply two;
  AddBuckets(two, "fashion",
             {{0, 550}, {1, 820}, {3, 909}, {7, 909}, {15, 910}});
  ProgressView view = ProgressMeter().Observe(Report(1), absl::Seconds(1));
  EXPECT_EQ(ProgressBlock(view, 79).find("stale"), std::string::npos);
  view.staleness.Add(one, "fashion");
  view.staleness.Add(two, "fashion");
  EXPECT_THAT(ProgressBlock(view, 79),
              HasSubstr("\nstale   0: 61 %  1: 30 %  2-3: 9 %  8-15: <1 %   "
                        "(clocks behind)\nworkers"));
  EXPECT_THAT(
      ProgressLine(view),
      HasSubstr("workers 2  staleness 0: 61 %  1: 30 %  2-3: 9 %  8-15: "
                "<1 %\n"));
  EXPECT_EQ(
      view.staleness.Json(),
      "{\"0\": 0.6100, \"1\": 0.3000, \"2-3\": 0.0890, \"8-15\": 0.0010}");
}

TEST(Progress, WritesOneJsonObject) {
  EXPECT_THAT(
      ProgressJson(ProgressMeter().Observe(Report(60'000), absl::Seconds(2))),
      HasSubstr("\"epoch\": 1, \"epochs\": 5, \"loss\": 0.35"));
}

TEST(Progress, EscapesAHostileMetricName) {
  v1::JobReport report = Report(1);
  report.set_metric_name("\x1b[2J\nPASS");
  const std::string line =
      ProgressLine(ProgressMeter().Observe(report, absl::Seconds(1)));
  EXPECT_THAT(line, HasSubstr("\\x1b[2J\\nPASS"));
}

}  // namespace
}  // namespace paramo::cli
