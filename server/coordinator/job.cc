// A job's life: phases, ticks, the store. Members are in job_members.cc, what
// it shows in job_report.cc.
#include "server/coordinator/job.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/control.pb.h"
#include "paramo/v1/stored.pb.h"
#include "server/coordinator/job_spec.h"

namespace paramo {
namespace {

// How many leases a running job waits for somebody to come back.
constexpr int kDesertedLeases = 10;

}  // namespace

Job::Worker::Worker() : progress(std::make_unique<v1::WorkerProgress>()) {}
Job::Worker::~Worker() = default;

Job::Job(uint32_t id, const v1::JobSpec& normalised_spec, Changes& changes)
    : id_(id),
      spec_(std::make_unique<v1::JobSpec>(normalised_spec)),
      changes_(changes),
      stored_(std::make_unique<v1::StoredJob>()),
      data_(PlanOf(normalised_spec)) {}

Job::~Job() = default;

bool Job::over() const { return stored_->phase() >= v1::JOB_PHASE_DONE; }

absl::Duration Job::Lease() const {
  return absl::Milliseconds(spec_->lease_ms());
}

bool Job::HasLiveMembers() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& entry) { return !entry.second->left; });
}

std::set<WorkerId> Job::Live() const {
  std::set<WorkerId> live;
  for (const auto& [rank, worker] : workers_) {
    if (!worker->left) live.insert(rank);
  }
  return live;
}

// ---- Phases -----------------------------------------------------------------

void Job::Settle(absl::Duration now) {
  std::set<WorkerId> live = Live();
  if (stored_->phase() == v1::JOB_PHASE_WAITING &&
      live.size() == spec_->workers()) {
    SetPhase(v1::JOB_PHASE_RUNNING);
  }
  if (stored_->phase() == v1::JOB_PHASE_RUNNING && live.empty()) {
    deserted_since_ = std::min(deserted_since_, now);
    if (data_.AllFinished()) {
      SetPhase(v1::JOB_PHASE_DONE);
    } else if (now - deserted_since_ >= kDesertedLeases * Lease()) {
      stored_->set_error(WhyDeserted());
      SetPhase(v1::JOB_PHASE_FAILED);
    }
  } else {
    deserted_since_ = absl::InfiniteDuration();
  }
  bool everybody_joined = stored_->phase() != v1::JOB_PHASE_WAITING;
  if (barriers_.Settle(live, everybody_joined, now, answers_)) {
    stored_->mutable_passed_barriers()->Assign(barriers_.passed().begin(),
                                               barriers_.passed().end());
    StoreState();
  }
}

void Job::SetPhase(int phase) {
  stored_->set_phase(static_cast<v1::JobPhase>(phase));
  StoreState();
  changes_.MarkStateChanged();
  LogInfo("job %s is %s", spec_->name(),
          v1::JobPhase_Name(static_cast<v1::JobPhase>(phase)));
}

std::string Job::WhyDeserted() const {
  std::string text = "no live worker for 10 leases, and data left to read";
  for (const auto& [rank, worker] : workers_) {
    absl::StrAppend(&text, "; rank ", rank, ": ", worker->left_because);
    if (text.size() > kErrorBytesMax) break;
  }
  return text.substr(0, kErrorBytesMax);
}

absl::Status Job::Stop(absl::Duration now) {
  if (stored_->phase() == v1::JOB_PHASE_STOPPED) return absl::OkStatus();
  if (over()) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", spec_->name(), " is over already"));
  }
  SetPhase(v1::JOB_PHASE_STOPPED);
  Settle(now);
  return absl::OkStatus();
}

void Job::Tick(absl::Duration now) {
  for (const auto& [rank, worker] : workers_) {
    if (worker->left || now - worker->last_heard <= Lease()) continue;
    stored_->set_deaths(stored_->deaths() + 1);
    StoreState();
    LogWarning("job %s: rank %d (%s, pid %d) is dead: silent for %s",
               spec_->name(), rank, worker->host, worker->pid,
               absl::FormatDuration(now - worker->last_heard));
    Part(*worker, "dead", FirstRoundWithout(*worker));
  }
  Settle(now);
}

std::vector<Barriers::Answer> Job::TakeAnswers() {
  return std::exchange(answers_, {});
}

// ---- The store --------------------------------------------------------------

std::string Job::Key(absl::string_view part) const {
  return absl::StrCat("jobs/", id_, "/", part);
}

void Job::StoreAll() {
  changes_.Put(Key("spec"), spec_->SerializeAsString());
  StoreState();
  StoreData();
}

void Job::Erase() {
  for (const char* part : {"spec", "state", "data"}) changes_.Delete(Key(part));
  for (const auto& [rank, worker] : workers_) {
    changes_.Delete(Key(absl::StrCat("worker/", rank)));
  }
  for (const auto& [session, gone] : gone_) {
    changes_.Delete(Key(absl::StrCat("gone/", session)));
  }
  changes_.MarkStateChanged();
}

void Job::StoreState() {
  changes_.Put(Key("state"), stored_->SerializeAsString());
}

void Job::StoreData() { changes_.Put(Key("data"), data_.Serialise()); }

void Job::StoreWorker(const Worker& worker) {
  v1::StoredWorker stored;
  stored.mutable_member()->set_worker(worker.rank);
  stored.mutable_member()->set_session(worker.session);
  stored.mutable_member()->set_session_epoch(worker.session_epoch);
  stored.mutable_member()->set_first_clock(worker.first_clock);
  stored.mutable_member()->set_left(worker.left);
  stored.mutable_member()->set_left_clock(worker.left_clock);
  stored.set_host(worker.host);
  stored.set_pid(worker.pid);
  stored.set_left_because(worker.left_because);
  *stored.mutable_progress() = *worker.progress;
  changes_.Put(Key(absl::StrCat("worker/", worker.rank)),
               stored.SerializeAsString());
  changes_.MarkStateChanged();
}

void Job::StoreGone(SessionId session) {
  const Gone& gone = gone_.at(session);
  v1::Member member;
  member.set_worker(gone.rank);
  member.set_session(session);
  member.set_session_epoch(gone.session_epoch);
  member.set_first_clock(gone.first_clock);
  member.set_left(true);
  member.set_left_clock(gone.left_clock);
  changes_.Put(Key(absl::StrCat("gone/", session)), member.SerializeAsString());
  changes_.MarkStateChanged();
}

absl::Status Job::LoadGone(absl::string_view value) {
  v1::Member member;
  if (!member.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      member.worker() >= spec_->workers()) {
    return absl::DataLossError("unreadable entry of a member that is gone");
  }
  gone_[member.session()] = {member.worker(), member.session_epoch(),
                             member.first_clock(), member.left_clock()};
  if (member.left_clock() == kUndecidedRound) MarkUndecided();
  return absl::OkStatus();
}

absl::Status Job::LoadState(absl::string_view value) {
  if (!stored_->ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return absl::DataLossError("unreadable job entry");
  }
  for (const std::string& name : stored_->passed_barriers()) {
    barriers_.LoadPassed(name);
  }
  return absl::OkStatus();
}

absl::Status Job::LoadWorker(absl::string_view value) {
  v1::StoredWorker stored;
  if (!stored.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      stored.member().worker() >= spec_->workers()) {
    return absl::DataLossError("unreadable worker entry");
  }
  auto worker = std::make_unique<Worker>();
  worker->rank = stored.member().worker();
  worker->session = stored.member().session();
  worker->session_epoch = stored.member().session_epoch();
  worker->first_clock = stored.member().first_clock();
  worker->left = stored.member().left();
  worker->left_clock = stored.member().left_clock();
  worker->host = stored.host();
  worker->pid = stored.pid();
  worker->left_because = stored.left_because();
  *worker->progress = stored.progress();
  if (worker->undecided()) MarkUndecided();
  workers_[worker->rank] = std::move(worker);
  return absl::OkStatus();
}

void Job::Resume(absl::Duration now) {
  for (const auto& [rank, worker] : workers_) worker->last_heard = now;
  Settle(now);
}

}  // namespace paramo
