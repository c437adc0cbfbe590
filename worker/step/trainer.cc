#include "worker/step/trainer.h"

#include <chrono>
#include <cmath>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "worker/step/client_status.h"

namespace paramo {
namespace {

// How long a wait may overlook that somebody wants us to stop.
constexpr std::chrono::milliseconds kSlice{50};

// What is in flight when we stop gets this long to be answered.
constexpr std::chrono::milliseconds kStopGrace{1000};

DataFeed::LeaseCall LeaseFrom(Membership& job) {
  return [&job](const std::vector<DataLease>& held,
                uint32_t want) -> absl::StatusOr<LeaseAnswer> {
    std::vector<DataPosition> positions;
    for (const DataLease& lease : held) {
      positions.push_back(
          {lease.data_shard, lease.batches_done, lease.finished});
    }
    Result<DataLeases> leases = job.LeaseData(positions, want);
    if (!leases.ok()) return FromClient(leases.status());
    LeaseAnswer answer;
    for (const DataPosition& lease : leases->leases) {
      answer.leases.push_back(
          {lease.data_shard, lease.batches_done, lease.finished});
    }
    answer.exhausted = leases->exhausted;
    answer.retry_after = absl::FromChrono(leases->retry_after);
    return answer;
  };
}

}  // namespace

Trainer::Trainer(const TrainerOptions& options)
    : options_(options),
      file_(options.work->job),
      work_(*options.step),
      job_(*options.job),
      stats_at_start_(options.job->stats()),
      clock_(options.job->first_clock()),
      last_step_at_(time_.Now()) {}

Trainer::~Trainer() {
  feed_.reset();
  const auto patience = stopping() ? kStopGrace : std::chrono::hours(1);
  if (push_.valid()) push_.wait_for(patience);
  if (pull_.valid()) pull_.wait_for(patience);
}

bool Trainer::stopping() const {
  return options_.stop->load(std::memory_order_relaxed) ||
         job_.phase() == JobPhase::kStopped;
}

absl::StatusOr<Trainer::Ending> Trainer::Run() {
  const absl::Status status = Loop();
  if (status.ok()) return Ending::kDone;
  if (stopping() || absl::IsCancelled(status)) return Ending::kStopped;
  // What a new membership mends: this one is over (a data or control call says
  // NOT_FOUND or FAILED_PRECONDITION), or a push is half done.
  if (!job_.member() || absl::IsAborted(status) ||
      absl::IsFailedPrecondition(status) || absl::IsUnavailable(status) ||
      absl::IsDeadlineExceeded(status)) {
    LogWarning("left behind: %s", ToString(status));
    return Ending::kLost;
  }
  return status;
}

absl::Status Trainer::Loop() {
  PARAMO_RETURN_IF_ERROR(MeetAt("start"));
  feed_ = std::make_unique<DataFeed>(
      *options_.work->train, file_.Plan(options_.work->train->examples()),
      LeaseFrom(job_));
  if (work_.pulls_ahead()) StartPull(clock_, PullKind::kAll);
  DataFeed::Item item;
  last_step_at_ = time_.Now();
  while (!stopping()) {
    ReportProgress();
    const absl::Duration asked = time_.Now();
    auto state = feed_->Next(absl::FromChrono(kSlice), item);
    times_.input += time_.Now() - asked;
    if (absl::IsNotFound(state.status())) {
      return absl::AbortedError(state.status().message());
    }
    if (!state.ok()) return state.status();
    switch (*state) {
      case DataFeed::State::kBatch:
        PARAMO_RETURN_IF_ERROR(Step(item));
        break;
      case DataFeed::State::kUnacked:
        PARAMO_RETURN_IF_ERROR(SettlePush());
        break;
      case DataFeed::State::kIdle:
        PARAMO_RETURN_IF_ERROR(StepWithoutData());
        break;
      case DataFeed::State::kNotYet:
        break;
      case DataFeed::State::kEnd:
        return Finish();
    }
  }
  return absl::CancelledError("asked to stop");
}

absl::Status Trainer::Step(const DataFeed::Item& item) {
  PARAMO_RETURN_IF_ERROR(AwaitPull());
  // Without a pull made ahead there is only a probe, or none.
  const bool pulled = pull_kind_ == PullKind::kAll && work_.pulls_ahead();
  work_.Prepare(item.batch, side_);
  if (!pulled) {
    StartPull(clock_, PullKind::kAll);
    PARAMO_RETURN_IF_ERROR(AwaitPull());
  }
  const BatchPlan plan = file_.Plan(options_.work->train->examples());
  const uint64_t epoch = plan.EpochOf(item.id.data_shard);
  if (epoch > epoch_.value_or(epoch)) {
    PARAMO_RETURN_IF_ERROR(EvaluateIfLowest(epoch));
  }
  epoch_ = epoch;
  const absl::Duration computing = time_.Now();
  const double loss = work_.Gradients(item.batch, clock_, side_);
  if (options_.slow_factor > 1) {
    absl::SleepFor((options_.slow_factor - 1) * (time_.Now() - computing));
  }
  times_.compute += time_.Now() - computing;
  if (!std::isfinite(loss)) {
    return absl::OutOfRangeError(
        absl::StrCat("the loss is not finite at step ", clock_,
                     "; lower optimizer.lr in the job file"));
  }
  PARAMO_RETURN_IF_ERROR(SettlePush());
  const auto examples = static_cast<uint32_t>(item.batch.size);
  StartPush(work_.PushParts(side_), examples,
            MakeDataPosition(item.id.data_shard, item.id.batch + 1));
  push_has_batch_ = true;
  pushed_ = item.id;
  side_ = 1 - side_;

  progress_.examples += examples;
  const absl::Duration now = time_.Now();
  meter_.Add(now, loss, now - last_step_at_, std::exchange(times_, {}));
  last_step_at_ = now;
  if (work_.pulls_ahead()) StartPull(clock_, PullKind::kAll);
  return absl::OkStatus();
}

// Other workers hold all the data there is. Where they may wait for us, every
// step that we may take is an empty one; then look for data again.
absl::Status Trainer::StepWithoutData() {
  if (file_.sync.kind == Sync::kAsync) {
    std::this_thread::sleep_for(kSlice);
    return absl::OkStatus();
  }
  if (pull_.valid() && !pull_.wait_for(kSlice)) return absl::OkStatus();
  PARAMO_RETURN_IF_ERROR(AwaitPull());
  StartPush({}, /*examples=*/0, /*data_position=*/0);
  PARAMO_RETURN_IF_ERROR(SettlePush());
  StartPull(clock_, PullKind::kProbe);
  return absl::OkStatus();
}

void Trainer::StartPull(uint64_t clock, PullKind kind) {
  PARAMO_CHECK(!pull_.valid());
  pull_clock_ = clock;
  pull_kind_ = kind;
  pull_ = job_.Pull(
      kind == PullKind::kAll ? work_.PullParts(side_) : work_.ProbeParts(),
      clock);
}

// What was pulled is in the buffers after this. A pull that fails for the
// moment, because a server or a slow member is away, is made again.
absl::Status Trainer::AwaitPull() {
  for (;;) {
    if (!pull_.valid()) return absl::OkStatus();
    const absl::Duration waiting = time_.Now();
    while (!pull_.wait_for(kSlice)) {
      if (stopping()) return absl::CancelledError("asked to stop");
    }
    CountPull(time_.Now() - waiting);
    const absl::Status status = FromClient(pull_.get());
    if (status.ok()) return absl::OkStatus();
    const bool may_pass =
        absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
    if (!may_pass || !job_.member() || stopping()) return status;
    LogWarning("pulling at clock %d: %s; trying again", pull_clock_,
               ToString(status));
    StartPull(pull_clock_, pull_kind_);
  }
}

// Of the time that we stood here, what the sync policy made the pull wait is
// not the pull's. (It may have waited while we were computing: that costs
// nothing.)
void Trainer::CountPull(absl::Duration stood) {
  const absl::Duration parked = absl::FromChrono(job_.stats().parked);
  const absl::Duration wait =
      std::min(stood, parked - std::exchange(parked_before_, parked));
  times_.wait += wait;
  times_.pull += stood - wait;
}

// Sends step clock_ and goes on to the next.
void Trainer::StartPush(const std::vector<PushPart>& parts, uint32_t examples,
                        uint64_t data_position) {
  PARAMO_CHECK(!push_.valid());
  StepOptions step;
  step.clock = clock_;
  step.examples = examples;
  step.data_position = data_position;
  push_ = job_.Push(parts, step);
  push_has_batch_ = false;
  progress_.clock = clock_;
  ++clock_;
}

// Waits for the answer of the push in flight, if there is one.
absl::Status Trainer::SettlePush() {
  if (!push_.valid()) return absl::OkStatus();
  const absl::Duration waiting = time_.Now();
  while (!push_.wait_for(kSlice)) {
    if (stopping()) return absl::CancelledError("asked to stop");
  }
  times_.push += time_.Now() - waiting;
  const Result<PushAck> ack = push_.get();
  if (!ack.ok()) return FromClient(ack.status());
  if (push_has_batch_) feed_->Acknowledged(pushed_);
  if (ack->dropped > 0 && ack->clock > clock_) {
    LogWarning("step %d came after its round had closed; going on at %d",
               clock_ - 1, ack->clock);
    clock_ = ack->clock;
  }
  return absl::OkStatus();
}

absl::Status Trainer::MeetAt(const std::string& barrier) {
  while (!stopping()) {
    ReportProgress();
    const absl::Status status =
        FromClient(job_.Barrier(barrier, std::chrono::seconds(2)));
    if (status.ok()) return status;
    if (absl::IsNotFound(status)) return absl::AbortedError(status.message());
    const bool may_pass =
        absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
    if (!may_pass) return status;
    LogInfo("still at barrier %s: %s", barrier, std::string(status.message()));
  }
  return absl::CancelledError("asked to stop");
}

}  // namespace paramo
