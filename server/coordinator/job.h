// One job: its members, phases, data shards and barriers. A pure state
// machine: requests and time in, answers and changes out; no threads, clock or
// disk. Time is the coordinator's waking time (awake_time.h).
//
//   WAITING --all `workers` ranks live--> RUNNING --all data read and every
//      |                                     |      member gone--> DONE
//      +--Stop--> STOPPED <--Stop------------+
//                     FAILED <--data left, and no live member for 10 leases
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clocks.h"
#include "common/base/ids.h"
#include "server/coordinator/barrier.h"
#include "server/coordinator/changes.h"
#include "server/coordinator/data_shards.h"

namespace paramo {
namespace v1 {
class BarrierRequest;
class JobReport;
class JobSpec;
class JobState;
class JoinJobReply;
class JoinJobRequest;
class LeaseDataReply;
class LeaseDataRequest;
class LeaveJobRequest;
class StoredJob;
class WorkerHeartbeatReply;
class WorkerHeartbeatRequest;
class WorkerProgress;
class WorkerReport;
}  // namespace v1

// Invariants: (1) at most spec.workers members are live, with distinct ranks
// below spec.workers; (2) a member that left never comes back: its rank does,
// with a new session; (3) a job that is over stays over; (4) the first round
// with or without a member is decided once, and once decided never changes.
//
// Coming and going in a job with rounds (docs/adr/0002):
//
//   Join, Leave, Tick  the round is undecided: shards that hear of it close no
//                      round, and take no more pushes of who is gone
//   Ask(version)       which state tells them so
//   Decide             every server has it, and has told how far it was: the
//                      highest open round of all is the answer
class Job {
 public:
  Job(uint32_t id, const v1::JobSpec& normalised_spec, Changes& changes);
  ~Job();

  // ---- After a restart ------------------------------------------------------
  absl::Status LoadState(absl::string_view value);
  absl::Status LoadWorker(absl::string_view value);
  absl::Status LoadGone(absl::string_view value);
  absl::Status LoadData(absl::string_view value) { return data_.Load(value); }
  // Members get a whole lease from `now` on.
  void Resume(absl::Duration now);
  // Writes what a new job consists of.
  void StoreAll();
  // Takes everything of the job out of the store.
  void Erase();

  // ---- Requests -------------------------------------------------------------

  // Errors: FAILED_PRECONDITION  the job is over, or has all its workers
  absl::Status Join(const v1::JoinJobRequest& request, IdCounter& sessions,
                    absl::Duration now, v1::JoinJobReply* reply);
  // Leaving twice is OK. Errors: NOT_FOUND  never was a member
  absl::Status Leave(const v1::LeaveJobRequest& request, absl::Duration now);
  // Errors: NOT_FOUND  no longer a member
  absl::Status Heartbeat(const v1::WorkerHeartbeatRequest& request,
                         absl::Duration now, v1::WorkerHeartbeatReply* reply);
  absl::Status LeaseData(const v1::LeaseDataRequest& request,
                         absl::Duration now, v1::LeaseDataReply* reply);
  // `done` gets its status through TakeAnswers, when the barrier opens.
  void Arrive(const v1::BarrierRequest& request, absl::Duration deadline,
              absl::Duration now, Barriers::Done done);
  // Errors: FAILED_PRECONDITION  the job is over otherwise
  absl::Status Stop(absl::Duration now);

  // The highest round that is open on some server; the ones below are closed
  // there. To be told before Join, Leave, Tick and Decide.
  void NoteOpenRound(WorkerClock round) {
    open_round_ = std::max(open_round_, round);
  }

  // Whether somebody's first round with or without it is not decided yet.
  bool undecided() const { return undecided_; }
  // The state that says so has been published, as `version`.
  void Ask(uint64_t version) {
    if (undecided_ && asked_version_ == 0) asked_version_ = version;
  }
  // What every server must have applied before Decide; 0 = not asked yet.
  uint64_t asked_version() const { return asked_version_; }
  void Decide();
  // The first step of a live member; nothing while it is undecided.
  std::optional<WorkerClock> FirstClockOf(WorkerId rank,
                                          SessionId session) const;

  // Finds the dead, the deserted and the late.
  void Tick(absl::Duration now);

  // The coordinator stops: whoever waits is told to ask again.
  void Close() {
    barriers_.Close(absl::UnavailableError("the coordinator stops"), answers_);
  }

  // Barrier answers that have become due.
  std::vector<Barriers::Answer> TakeAnswers();

  // ---- Reading --------------------------------------------------------------

  uint32_t id() const { return id_; }
  const v1::JobSpec& spec() const { return *spec_; }
  bool over() const;
  bool HasLiveMembers() const;
  size_t member_count() const { return workers_.size() + gone_.size(); }
  void FillState(v1::JobState* state) const;
  void FillReport(absl::Duration now, v1::JobReport* report) const;

 private:
  // The newest holder of a rank.
  struct Worker {
    Worker();
    ~Worker();
    WorkerId rank = 0;
    SessionId session = 0;
    uint32_t session_epoch = 1;
    WorkerClock first_clock = 0;
    bool left = false;
    WorkerClock left_clock = 0;  // first round without it, once it left
    bool undecided() const {
      return left ? left_clock == kUndecidedRound
                  : first_clock == kUndecidedRound;
    }
    std::string host;
    int64_t pid = 0;
    std::string left_because;
    std::unique_ptr<v1::WorkerProgress> progress;  // never null
    absl::Duration last_heard;
  };

  // An earlier holder of a rank: a shard that was away may meet its pushes, or
  // still have to take it out of its rounds.
  struct Gone {
    WorkerId rank = 0;
    uint32_t session_epoch = 1;
    WorkerClock first_clock = 0;
    WorkerClock left_clock = 0;
  };

  // The live member that calls, heard of just now; NOT_FOUND otherwise.
  absl::StatusOr<Worker*> Hear(WorkerId rank, SessionId session,
                               absl::Duration now);
  absl::Status CheckMayJoin() const;
  bool HasRounds() const;
  WorkerClock FirstClock() const;
  WorkerClock FirstRoundWithout(const Worker& worker) const;
  void MarkUndecided();
  void Part(Worker& worker, const std::string& because,
            WorkerClock first_without);
  void AddToTotals(const v1::WorkerProgress& progress);
  void TakeMetric(const v1::WorkerProgress& progress);
  void FillWorker(const Worker& worker, absl::Duration now,
                  v1::WorkerReport* report) const;
  std::set<WorkerId> Live() const;
  // Follows the picture above as far as it goes now.
  void Settle(absl::Duration now);
  void SetPhase(int phase);
  std::string WhyDeserted() const;
  absl::Duration Lease() const;
  std::string Key(absl::string_view part) const;
  void StoreState();
  void StoreWorker(const Worker& worker);
  void StoreGone(SessionId session);
  void StoreData();

  const uint32_t id_;
  const std::unique_ptr<v1::JobSpec> spec_;
  Changes& changes_;
  std::unique_ptr<v1::StoredJob> stored_;  // phase, totals, newest metric
  std::map<WorkerId, std::unique_ptr<Worker>> workers_;
  std::map<SessionId, Gone> gone_;
  DataShards data_;
  Barriers barriers_;
  std::vector<Barriers::Answer> answers_;
  WorkerClock open_round_ = 0;
  bool undecided_ = false;
  uint64_t asked_version_ = 0;
  // Since when nobody is live although the job runs; infinite = somebody is.
  absl::Duration deserted_since_ = absl::InfiniteDuration();
};

}  // namespace paramo
