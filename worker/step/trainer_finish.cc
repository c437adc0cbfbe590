// The end of a run, and what is told on the way: evaluation and progress.
#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

#include "common/base/log.h"
#include "common/base/status.h"
#include "worker/step/client_status.h"
#include "worker/step/trainer.h"

namespace paramo {
namespace {

constexpr std::chrono::milliseconds kAskAgain{50};
constexpr uint64_t kFarAhead = uint64_t{1} << 40;
constexpr absl::Duration kReportEvery = absl::Milliseconds(100);

uint32_t LowestLive(const JobReport& report) {
  uint32_t lowest = std::numeric_limits<uint32_t>::max();
  for (const WorkerReport& worker : report.workers) {
    if (worker.live) lowest = std::min(lowest, worker.worker);
  }
  return lowest;
}

absl::Status CheckNotStopped(const JobReport& report) {
  return report.phase == JobPhase::kStopped
             ? absl::CancelledError("the job was stopped")
             : absl::OkStatus();
}

}  // namespace

// All data of the job is read, by whomever, and every push that carries some
// is acknowledged. Before the weights are final, all rounds with data must be
// closed. The last of them, C, was pushed after round C - 1 had closed, so
// every live worker has ended step C - 1 at least: one more step by each ends
// step C for all, and the barrier tells when that has happened.
absl::Status Trainer::Finish() {
  PARAMO_RETURN_IF_ERROR(SettlePush());
  // A stopped job has no more data for anybody either.
  const Result<JobReport> report = job_.Describe();
  if (report.ok()) PARAMO_RETURN_IF_ERROR(CheckNotStopped(*report));
  // Under ssp others may wait for our clock once more: it runs far ahead. What
  // is told of us stays at the last real step, which newcomers start from.
  if (file_.sync.kind == Sync::kSsp) clock_ += kFarAhead;
  if (file_.sync.kind != Sync::kAsync) {
    const uint64_t last_step = progress_.clock;
    StartPush({}, /*examples=*/0, /*data_position=*/0);
    progress_.clock = last_step;
    PARAMO_RETURN_IF_ERROR(SettlePush());
  }
  PARAMO_RETURN_IF_ERROR(MeetAt("finished"));
  // A pull that followed a batch gets its answer now. A probe may wait for a
  // round that nobody ends any more: it is left alone, with its own buffer.
  if (pull_kind_ == PullKind::kProbe) pull_ = {};
  PARAMO_RETURN_IF_ERROR(AwaitPull());
  while (!stopping()) {
    ReportProgress();
    PARAMO_ASSIGN_OR_RETURN(const bool ended, TryToEnd());
    if (ended) return absl::OkStatus();
    std::this_thread::sleep_for(kAskAgain);
  }
  return absl::CancelledError("asked to stop");
}

// The lowest live worker evaluates the final weights. The others stay until
// the figure is known: should that worker die, one of them is the lowest.
absl::StatusOr<bool> Trainer::TryToEnd() {
  const Result<JobReport> report = job_.Describe();
  if (!report.ok()) {
    const absl::Status status = FromClient(report.status());
    LogWarning("asking for the final metric: %s", ToString(status));
    if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
      return false;
    }
    return status;
  }
  PARAMO_RETURN_IF_ERROR(CheckNotStopped(*report));
  if (report->metric_epoch >= static_cast<double>(file_.epochs)) return true;
  if (LowestLive(*report) != job_.rank()) return false;
  // At a clock that nobody holds up any more.
  if (work_.pulls_ahead()) StartPull(0, PullKind::kAll);
  PARAMO_RETURN_IF_ERROR(AwaitPull());
  PARAMO_RETURN_IF_ERROR(Evaluate(file_.epochs));
  if (!options_.weights_file.empty()) {
    PARAMO_RETURN_IF_ERROR(work_.Save(options_.weights_file));
  }
  return true;  // Leave() takes the figure along
}

// With the parameters just pulled, at the step where this worker's data turns
// to the next epoch. A figure on the way: whoever cannot tell who is the
// lowest does without.
absl::Status Trainer::EvaluateIfLowest(uint64_t epochs_done) {
  const Result<JobReport> report = job_.Describe();
  if (!report.ok() || LowestLive(*report) != job_.rank()) {
    return absl::OkStatus();
  }
  return Evaluate(epochs_done);
}

absl::Status Trainer::Evaluate(uint64_t epochs_done) {
  PARAMO_ASSIGN_OR_RETURN(progress_.metric, work_.Evaluate());
  progress_.metric_name = options_.work->metric_name;
  progress_.metric_epoch = static_cast<double>(epochs_done);
  LogInfo("after epoch %d of %d: %s %.4f", epochs_done, file_.epochs,
          progress_.metric_name, progress_.metric);
  last_report_at_ = -absl::InfiniteDuration();
  ReportProgress();
  return absl::OkStatus();
}

void Trainer::ReportProgress() {
  const absl::Duration now = time_.Now();
  if (now - last_report_at_ < kReportEvery) return;
  last_report_at_ = now;
  const StepMeter::Summary steps = meter_.Summarize(now);
  progress_.loss = steps.loss;
  progress_.step_ms_p50 = steps.step_ms_p50;
  progress_.step_ms_p99 = steps.step_ms_p99;
  progress_.input_ms = steps.input_ms;
  progress_.pull_ms = steps.pull_ms;
  progress_.compute_ms = steps.compute_ms;
  progress_.push_ms = steps.push_ms;
  progress_.wait_ms = steps.wait_ms;
  // Pushes are most of what is sent and pulls of what is received: the other
  // half of each is headers.
  const ClusterStats stats = job_.stats();
  progress_.pushes = stats.pushes - stats_at_start_.pushes;
  progress_.pulls = stats.pulls - stats_at_start_.pulls;
  progress_.push_bytes = stats.bytes_sent - stats_at_start_.bytes_sent;
  progress_.pull_bytes = stats.bytes_received - stats_at_start_.bytes_received;
  job_.Report(progress_);
}

}  // namespace paramo
