// Members of a job: they join, show life, take data, meet, and leave.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/control.pb.h"
#include "paramo/v1/stored.pb.h"
#include "server/coordinator/job.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

constexpr size_t kHostBytesMax = 255;
constexpr size_t kMetricNameBytesMax = 64;

// A reader takes its shards in order, so the shortest useful wait is about a
// step.
constexpr uint32_t kDataRetryMs = 50;

}  // namespace

absl::StatusOr<Job::Worker*> Job::Hear(WorkerId rank, SessionId session,
                                       absl::Duration now) {
  auto it = workers_.find(rank);
  if (it == workers_.end() || it->second->session != session ||
      it->second->left) {
    return absl::NotFoundError(absl::StrCat(
        "rank ", rank, " of job ", spec_->name(), " is not a member under ",
        "session ", session, "; join again"));
  }
  it->second->last_heard = std::max(it->second->last_heard, now);
  return it->second.get();
}

absl::Status Job::CheckMayJoin() const {
  if (over()) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", spec_->name(), " is over; create another"));
  }
  if (Live().size() >= spec_->workers()) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", spec_->name(), " has all its ", spec_->workers(),
                     " workers; one may join when one of them is gone"));
  }
  return absl::OkStatus();
}

bool Job::HasRounds() const {
  return spec_->sync().kind() == v1::Sync::BSP ||
         spec_->sync().kind() == v1::Sync::ROUND;
}

// A job's first clock is 0. Who joins a running job starts two clocks past the
// highest one reported: that clock is finished, the next one is being worked
// on and may close without the newcomer, and the one after is the first that
// everybody else has yet to begin. Without rounds a report may be old, which
// costs the newcomer nothing but a few clocks of delay.
WorkerClock Job::FirstClock() const {
  if (stored_->phase() == v1::JOB_PHASE_WAITING) return 0;
  WorkerClock highest = open_round_;
  for (const auto& [rank, worker] : workers_) {
    highest = std::max<WorkerClock>(highest, worker->progress->clock());
  }
  return highest + 2;
}

absl::Status Job::Join(const v1::JoinJobRequest& request, IdCounter& sessions,
                       absl::Duration now, v1::JoinJobReply* reply) {
  PARAMO_RETURN_IF_ERROR(ValidateText("host", request.host(), kHostBytesMax));
  PARAMO_RETURN_IF_ERROR(CheckMayJoin());
  std::set<WorkerId> live = Live();
  WorkerId rank = 0;
  while (live.count(rank) > 0) ++rank;

  auto worker = std::make_unique<Worker>();
  worker->rank = rank;
  worker->session = sessions.Take();
  const bool running = stored_->phase() == v1::JOB_PHASE_RUNNING;
  worker->first_clock = HasRounds() && running ? kUndecidedRound : FirstClock();
  if (worker->undecided()) MarkUndecided();
  worker->host = request.host();
  worker->pid = request.pid();
  worker->last_heard = now;
  StoreWorker(*worker);

  std::unique_ptr<Worker>& slot = workers_[rank];
  if (slot != nullptr) {
    AddToTotals(*slot->progress);
    StoreState();
    gone_[slot->session] = {rank, slot->session_epoch, slot->first_clock,
                            slot->left_clock};
    StoreGone(slot->session);
  }
  slot = std::move(worker);
  reply->set_job(id_);
  reply->set_worker(rank);
  reply->set_session(slot->session);
  reply->set_session_epoch(slot->session_epoch);
  reply->set_first_clock(slot->first_clock);
  *reply->mutable_spec() = *spec_;
  Settle(now);
  return absl::OkStatus();
}

absl::Status Job::Leave(const v1::LeaveJobRequest& request,
                        absl::Duration now) {
  auto it = workers_.find(request.worker());
  if (it == workers_.end() || it->second->session != request.session()) {
    return absl::NotFoundError(absl::StrCat(
        "rank ", request.worker(), " is not a member of job ", spec_->name()));
  }
  if (it->second->left) return absl::OkStatus();
  if (request.error().empty()) {
    Part(*it->second, "done", kNoRound);
  } else {
    Part(*it->second, Printable(request.error(), kErrorBytesMax),
         FirstRoundWithout(*it->second));
  }
  Settle(now);
  return absl::OkStatus();
}

// What a worker that failed gave to that round and later ones is dropped on
// every shard, also where it arrived whole. In a job with rounds the answer
// needs every server (Decide): a shard that had all but one contribution to a
// round may close it, the dead worker's included, while this is decided.
WorkerClock Job::FirstRoundWithout(const Worker& worker) const {
  const bool never_began = worker.first_clock == kUndecidedRound;
  return HasRounds() && !never_began ? kUndecidedRound : open_round_;
}

void Job::MarkUndecided() {
  undecided_ = true;
  asked_version_ = 0;
}

// No shard closes a round now, and the servers have told which ones are open:
// the highest of these is on no shard closed yet, with whomever.
void Job::Decide() {
  for (auto& [session, gone] : gone_) {
    if (gone.left_clock != kUndecidedRound) continue;
    gone.left_clock = open_round_;
    StoreGone(session);
  }
  for (const auto& [rank, worker] : workers_) {
    if (!worker->undecided()) continue;
    (worker->left ? worker->left_clock : worker->first_clock) =
        worker->left ? open_round_ : FirstClock();
    LogInfo("job %s: rank %d %s round %d", spec_->name(), rank,
            worker->left ? "is out from" : "begins with",
            worker->left ? worker->left_clock : worker->first_clock);
    StoreWorker(*worker);
  }
  undecided_ = false;
  asked_version_ = 0;
}

std::optional<WorkerClock> Job::FirstClockOf(WorkerId rank,
                                             SessionId session) const {
  auto worker = workers_.find(rank);
  if (worker == workers_.end() || worker->second->session != session ||
      worker->second->left) {
    return 0;
  }
  if (worker->second->undecided()) return std::nullopt;
  return worker->second->first_clock;
}

// Nobody waits for the worker any more, and its data goes to others.
void Job::Part(Worker& worker, const std::string& because,
               WorkerClock first_without) {
  worker.left = true;
  worker.left_clock = first_without;
  if (worker.undecided()) MarkUndecided();
  worker.left_because = because;
  data_.Return(worker.rank);
  barriers_.Leave(worker.rank,
                  absl::NotFoundError("no longer a member of the job"),
                  answers_);
  StoreWorker(worker);
  StoreData();
  StoreState();  // the newest metric, which may be this worker's
}

absl::Status Job::Heartbeat(const v1::WorkerHeartbeatRequest& request,
                            absl::Duration now,
                            v1::WorkerHeartbeatReply* reply) {
  PARAMO_RETURN_IF_ERROR(ValidateText("progress.metric_name",
                                      request.progress().metric_name(),
                                      kMetricNameBytesMax));
  PARAMO_ASSIGN_OR_RETURN(Worker * worker,
                          Hear(request.worker(), request.session(), now));
  *worker->progress = request.progress();
  TakeMetric(request.progress());
  reply->set_phase(stored_->phase());
  for (WorkerId live : Live()) reply->add_live_workers(live);
  return absl::OkStatus();
}

absl::Status Job::LeaseData(const v1::LeaseDataRequest& request,
                            absl::Duration now, v1::LeaseDataReply* reply) {
  PARAMO_RETURN_IF_ERROR(
      ValidateRange("want", request.want(), 0, kDataShardLeasesMax));
  PARAMO_RETURN_IF_ERROR(ValidateRange(
      "positions' count", request.positions_size(), 0, kDataShardLeasesMax));
  PARAMO_ASSIGN_OR_RETURN(Worker * worker,
                          Hear(request.worker(), request.session(), now));
  std::vector<DataPlace> places;
  for (const v1::DataPosition& position : request.positions()) {
    places.push_back(
        {position.data_shard(), position.batches_done(), position.finished()});
  }
  PARAMO_RETURN_IF_ERROR(data_.Report(worker->rank, places));

  bool running = stored_->phase() == v1::JOB_PHASE_RUNNING;
  if (running && request.want() > 0) {
    std::set<WorkerId> live = Live();
    size_t want = std::max<size_t>(request.want(), kDataShardLeasesAhead);
    auto is_gone = [&live](WorkerId rank) { return live.count(rank) == 0; };
    for (const DataPlace& lease :
         data_.Lease(worker->rank, places, want, is_gone)) {
      v1::DataPosition* position = reply->add_leases();
      position->set_data_shard(lease.shard);
      position->set_batches_done(lease.batches_done);
    }
  }
  reply->set_exhausted(over() || data_.Exhausted(worker->rank));
  if (reply->leases().empty() && !reply->exhausted()) {
    reply->set_retry_after_ms(kDataRetryMs);
  }
  if (!places.empty() || !reply->leases().empty()) StoreData();
  Settle(now);
  return absl::OkStatus();
}

void Job::Arrive(const v1::BarrierRequest& request, absl::Duration deadline,
                 absl::Duration now, Barriers::Done done) {
  absl::Status valid = ValidateName("barrier name", request.name());
  if (valid.ok()) {
    valid = Hear(request.worker(), request.session(), now).status();
  }
  if (!valid.ok()) {
    answers_.push_back({std::move(done), valid});
    return;
  }
  barriers_.Arrive(request.worker(), request.name(), deadline, std::move(done),
                   answers_);
  Settle(now);
}

}  // namespace paramo
