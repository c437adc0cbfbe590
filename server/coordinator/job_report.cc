// What a job shows: to servers (JobState) and to people (JobReport).
#include "paramo/v1/control.pb.h"
#include "paramo/v1/stored.pb.h"
#include "server/coordinator/job.h"
#include "server/coordinator/job_spec.h"

namespace paramo {
namespace {

// Adds one worker's counters to sums of the same names.
template <typename Sums>
void AddCounters(const v1::WorkerProgress& progress, Sums* sums) {
  sums->set_pushes(sums->pushes() + progress.pushes());
  sums->set_pulls(sums->pulls() + progress.pulls());
  sums->set_push_bytes(sums->push_bytes() + progress.push_bytes());
  sums->set_pull_bytes(sums->pull_bytes() + progress.pull_bytes());
  sums->set_examples(sums->examples() + progress.examples());
}

}  // namespace

void Job::AddToTotals(const v1::WorkerProgress& progress) {
  AddCounters(progress, stored_.get());
}

// The newest metric is the one of the latest epoch. It reaches the store with
// the next change of a member; after a restart it comes again by heartbeat.
void Job::TakeMetric(const v1::WorkerProgress& progress) {
  if (progress.metric_name().empty() ||
      progress.metric_epoch() < stored_->metric_epoch()) {
    return;
  }
  stored_->set_metric_name(progress.metric_name());
  stored_->set_metric(progress.metric());
  stored_->set_metric_epoch(progress.metric_epoch());
}

void Job::FillState(v1::JobState* state) const {
  state->set_id(id_);
  state->set_name(spec_->name());
  *state->mutable_sync() = spec_->sync();
  state->set_phase(stored_->phase());
  for (const auto& [session, gone] : gone_) {
    v1::Member* member = state->add_members();
    member->set_worker(gone.rank);
    member->set_session(session);
    member->set_session_epoch(gone.session_epoch);
    member->set_first_clock(gone.first_clock);
    member->set_left(true);
    member->set_left_clock(gone.left_clock);
  }
  for (const auto& [rank, worker] : workers_) {
    v1::Member* member = state->add_members();
    member->set_worker(rank);
    member->set_session(worker->session);
    member->set_session_epoch(worker->session_epoch);
    member->set_first_clock(worker->first_clock);
    member->set_left(worker->left);
    member->set_left_clock(worker->left_clock);
  }
}

void Job::FillReport(absl::Duration now, v1::JobReport* report) const {
  FillState(report->mutable_state());
  *report->mutable_spec() = *spec_;
  report->set_data_shards(PlanOf(*spec_).Shards());
  report->set_data_shards_finished(data_.finished());
  report->set_batches_repeated(data_.batches_repeated());
  report->set_deaths(stored_->deaths());
  report->set_error(stored_->error());
  report->set_metric_name(stored_->metric_name());
  report->set_metric(stored_->metric());
  report->set_metric_epoch(stored_->metric_epoch());
  report->set_pushes(stored_->pushes());
  report->set_pulls(stored_->pulls());
  report->set_push_bytes(stored_->push_bytes());
  report->set_pull_bytes(stored_->pull_bytes());
  report->set_examples(stored_->examples());
  for (const auto& [rank, worker] : workers_) {
    AddCounters(*worker->progress, report);
    FillWorker(*worker, now, report->add_workers());
  }
}

void Job::FillWorker(const Worker& worker, absl::Duration now,
                     v1::WorkerReport* report) const {
  report->set_worker(worker.rank);
  report->set_host(worker.host);
  report->set_pid(worker.pid);
  report->set_live(!worker.left);
  report->set_left_because(worker.left_because);
  *report->mutable_progress() = *worker.progress;
  absl::Duration silent = now - worker.last_heard;
  if (worker.left || silent < absl::ZeroDuration()) return;
  report->set_silent_ms(
      static_cast<uint32_t>(absl::ToInt64Milliseconds(silent)));
}

}  // namespace paramo
