#include "tests/bench/drive.h"

#include <thread>

#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/status.h"

namespace paramo::bench {
namespace {

// One run. A request's latency counts from when it was due, so that a server
// that falls behind cannot hide it by being asked less.
class Run {
 public:
  Run(Requester& requester, const Load& load)
      : requester_(requester), load_(load) {
    if (load_.rate > 0) sender_ = std::thread([this] { SendAtRate(); });
  }
  ~Run() { StopSending(); }

  absl::Status Until(absl::Time end) {
    while (absl::Now() < end) {
      if (load_.rate <= 0) PARAMO_RETURN_IF_ERROR(FillWindow());
      PARAMO_RETURN_IF_ERROR(TakeAnswers(end));
    }
    return absl::OkStatus();
  }
  // Sends nothing more; waits for what is in flight.
  absl::Status Drain() {
    StopSending();
    while (answered() < sent()) {
      PARAMO_RETURN_IF_ERROR(TakeAnswers(absl::InfiniteFuture()));
    }
    MutexLock lock(mu_);
    return failure_;
  }

  size_t answered() const { return latencies_us_.size(); }
  const std::vector<double>& latencies_us() const { return latencies_us_; }

 private:
  size_t sent() {
    MutexLock lock(mu_);
    return due_.size();
  }
  bool Full() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return due_.size() - answered_ >= static_cast<size_t>(load_.in_flight);
  }

  absl::Status FillWindow() {
    while (sent() - answered() < static_cast<size_t>(load_.in_flight)) {
      PARAMO_RETURN_IF_ERROR(SendDueAt(absl::Now()));
    }
    return absl::OkStatus();
  }
  absl::Status SendDueAt(absl::Time due) {
    size_t i;
    {
      MutexLock lock(mu_);
      i = due_.size();
      due_.push_back(due);
    }
    return requester_.Send(i);
  }

  // The sender's main.
  void SendAtRate() {
    absl::Time due = absl::Now();
    while (WaitForRoom()) {
      absl::SleepFor(due - absl::Now());
      const absl::Status status = SendDueAt(due);
      MutexLock lock(mu_);
      failure_.Update(status);
      due += absl::Seconds(1) / load_.rate;
    }
  }
  bool WaitForRoom() {
    MutexLock lock(mu_);
    while (Full() && !stop_) changed_.Wait(mu_);
    return !stop_ && failure_.ok();
  }
  void StopSending() {
    {
      MutexLock lock(mu_);
      stop_ = true;
      changed_.NotifyOne();
    }
    if (sender_.joinable()) sender_.join();
  }

  absl::Status TakeAnswers(absl::Time deadline) {
    numbers_.clear();
    PARAMO_RETURN_IF_ERROR(requester_.Wait(deadline, numbers_));
    const absl::Time now = absl::Now();
    MutexLock lock(mu_);
    for (size_t i : numbers_) {
      latencies_us_.push_back(absl::ToDoubleMicroseconds(now - due_[i]));
    }
    answered_ = latencies_us_.size();
    changed_.NotifyOne();
    return absl::OkStatus();
  }

  Requester& requester_;
  const Load& load_;
  std::thread sender_;

  // The waiting thread's.
  std::vector<double> latencies_us_;  // of every request answered
  std::vector<size_t> numbers_;

  Mutex mu_;
  CondVar changed_;
  std::vector<absl::Time> due_ ABSL_GUARDED_BY(mu_);  // of every one sent
  size_t answered_ ABSL_GUARDED_BY(mu_) = 0;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);  // of the sender
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
