// overload: what is still done when four times as much is asked as can be. Much
// of it waits or is refused then, and must not cost what could be done.
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "tests/bench/bench.h"
#include "tests/bench/table_load.h"

namespace paramo::bench {
namespace {

constexpr double kTimesThePeak = 4;
constexpr int kPeakInFlight = 4;
// Of each client: at the rate asked it is full in a second, and what is due
// then is sent when an answer makes room.
constexpr int kInFlightMax = 512;

// The two loads, on one table.
class Loads {
 public:
  static absl::StatusOr<std::shared_ptr<Loads>> Make(BenchCluster& cluster,
                                                     const RowsSpec& spec,
                                                     int clients) {
    auto loads = std::make_shared<Loads>();
    loads->cpu_ = CpuOfAll(cluster.pids());
    PARAMO_ASSIGN_OR_RETURN(loads->peak_,
                            MakeRows(cluster, spec, kPeakInFlight));
    for (int i = 0; i < clients; ++i) {
      PARAMO_ASSIGN_OR_RETURN(loads->clients_.emplace_back(),
                              cluster.Connect());
      PARAMO_ASSIGN_OR_RETURN(
          loads->asked_.emplace_back(),
          OpenRows(*loads->clients_.back(), spec, kInFlightMax));
    }
    return loads;
  }

  absl::StatusOr<Sample> Peak(absl::Duration time) {
    const Load load{.in_flight = kPeakInFlight, .time = time};
    PARAMO_ASSIGN_OR_RETURN(Sample sample,
                            DriveCalls(*peak_, Call::kPush, load, cpu_));
    per_second_ = sample.messages / sample.seconds;
    return sample;
  }

  absl::StatusOr<Sample> All(absl::Duration time) {
    const size_t clients = asked_.size();
    const Load load{
        .in_flight = kInFlightMax,
        .rate = kTimesThePeak * per_second_ / static_cast<double>(clients),
        .time = time};
    std::vector<absl::StatusOr<Sample>> samples(clients, Sample());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < clients; ++i) {
      threads.emplace_back([&, i] {
        samples[i] = DriveCalls(*asked_[i], Call::kPush, load, cpu_);
      });
    }
    for (std::thread& thread : threads) thread.join();
    Sample sum;
    for (const absl::StatusOr<Sample>& sample : samples) {
      PARAMO_RETURN_IF_ERROR(sample.status());
      sum.seconds = std::max(sum.seconds, sample->seconds);
      // All count the same processes.
      sum.cpu_seconds = std::max(sum.cpu_seconds, sample->cpu_seconds);
      sum.messages += sample->messages;
      sum.bytes += sample->bytes;
      sum.rows += sample->rows;
      sum.p50_us = std::max(sum.p50_us, sample->p50_us);
      sum.p99_us = std::max(sum.p99_us, sample->p99_us);
    }
    return sum;
  }

 private:
  std::function<double()> cpu_;
  double per_second_ = 1;  // requests, as Peak saw
  std::shared_ptr<Asked> peak_;
  std::vector<std::unique_ptr<Cluster>> clients_;
  std::vector<std::shared_ptr<Asked>> asked_;
};

class Overload final : public Bench {
 public:
  void Declare(Config& config) override {
    DeclareRows(config, /*rows_max=*/65536, spec_);
    config.Int("clients", clients_, {1, 1024}, "who ask for more together");
  }

  absl::Status Prepare(Lab& lab, Plan& plan, bool smoke) override {
    if (smoke) spec_.table_rows = 10'000;
    PARAMO_ASSIGN_OR_RETURN(BenchCluster * cluster,
                            lab.StartCluster(/*servers=*/1));
    PARAMO_ASSIGN_OR_RETURN(auto loads, Loads::Make(*cluster, spec_, clients_));
    // The floor first: the rate follows from it.
    const size_t peak =
        plan.Add({.name = "peak",
                  .run = [loads](auto time) { return loads->Peak(time); },
                  .leaves_work = true});
    const size_t all =
        plan.Add({.name = "push, 4 x peak",
                  .run = [loads](auto time) { return loads->All(time); },
                  .leaves_work = true});
    plan.Compare(all, peak, Unit::kRows, AtLeast(0.8), "Overload");
    plan.Compare(all, peak, Unit::kCpuPerRow);
    plan.Compare(all, peak, Unit::kP50);
    plan.Compare(all, peak, Unit::kP99);
    return absl::OkStatus();
  }

 private:
  static RowsSpec Rows() {
    RowsSpec spec;
    spec.rows = 256;
    return spec;
  }
  RowsSpec spec_ = Rows();
  int clients_ = 8;
};

}  // namespace

std::unique_ptr<Bench> MakeOverload() { return std::make_unique<Overload>(); }

}  // namespace paramo::bench
