#include "tests/bench/drive.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "common/base/status.h"

namespace paramo::bench {
namespace {

// One run. A request's latency counts from when it was due, so that a server
// that falls behind cannot hide it by being asked less.
class Run {
 public:
  Run(Requester& requester, const Load& load)
      : requester_(requester), load_(load), begin_(absl::Now()) {}

  absl::Status Until(absl::Time end) {
    while (absl::Now() < end) {
      PARAMO_RETURN_IF_ERROR(SendDue());
      PARAMO_RETURN_IF_ERROR(TakeAnswers(std::min(end, NextDue())));
    }
    return absl::OkStatus();
  }
  absl::Status Drain() {
    while (answered() < due_.size()) {
      PARAMO_RETURN_IF_ERROR(TakeAnswers(absl::InfiniteFuture()));
    }
    return absl::OkStatus();
  }

  size_t answered() const { return latencies_us_.size(); }
  const std::vector<double>& latencies_us() const { return latencies_us_; }

 private:
  bool Full() const {
    return due_.size() - answered() >= static_cast<size_t>(load_.in_flight);
  }
  absl::Time NextDue() const {
    if (load_.rate <= 0 || Full()) return absl::InfiniteFuture();
    return begin_ +
           absl::Seconds(static_cast<double>(due_.size())) / load_.rate;
  }
  absl::Status SendDue() {
    while (!Full()) {
      const absl::Time now = absl::Now();
      const absl::Time due = load_.rate > 0 ? NextDue() : now;
      if (due > now) break;
      due_.push_back(due);
      PARAMO_RETURN_IF_ERROR(requester_.Send(due_.size() - 1));
    }
    return absl::OkStatus();
  }
  absl::Status TakeAnswers(absl::Time deadline) {
    numbers_.clear();
    PARAMO_RETURN_IF_ERROR(requester_.Wait(deadline, numbers_));
    const absl::Time now = absl::Now();
    for (size_t i : numbers_) {
      latencies_us_.push_back(absl::ToDoubleMicroseconds(now - due_[i]));
    }
    return absl::OkStatus();
  }

  Requester& requester_;
  const Load& load_;
  const absl::Time begin_;
  std::vector<absl::Time> due_;       // of every request sent
  std::vector<double> latencies_us_;  // of every one answered
  std::vector<size_t> numbers_;
};

}  // namespace

absl::StatusOr<Sample> Drive(Requester& requester, const Load& load,
                             const Work& work,
                             const std::function<double()>& cpu_seconds) {
  Run run(requester, load);
  PARAMO_RETURN_IF_ERROR(run.Until(absl::Now() + load.time / 5));
  const size_t before = run.answered();
  const double cpu = cpu_seconds();
  const absl::Time start = absl::Now();
  PARAMO_RETURN_IF_ERROR(run.Until(start + load.time));
  // A request longer than the whole run still is one.
  if (run.answered() == before) PARAMO_RETURN_IF_ERROR(run.Drain());

  Sample sample;
  sample.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  sample.cpu_seconds = cpu_seconds() - cpu;
  const std::vector<double> latencies(
      run.latencies_us().begin() + static_cast<std::ptrdiff_t>(before),
      run.latencies_us().end());
  sample.messages = static_cast<double>(latencies.size());
  sample.bytes = sample.messages * work.bytes;
  sample.rows = sample.messages * work.rows;
  sample.p50_us = Quantile(latencies, 0.5);
  sample.p99_us = Quantile(latencies, 0.99);
  sample.p999_us = Quantile(latencies, 0.999);
  PARAMO_RETURN_IF_ERROR(run.Drain());
  return sample;
}

}  // namespace paramo::bench
