// Taking part in a training job: a rank, a clock, data to read, and pushes
// that belong to steps.
//
//   cluster->CreateJob(spec);
//   auto job = Job::Join(*cluster, "fashion");
//   for (uint64_t clock = (*job)->first_clock(); ...; ++clock) {
//     (*job)->Pull(parameters, clock);         // bsp: waits for round clock-1
//     ... compute gradients of one batch ...
//     (*job)->Push(gradients, {.clock = clock, .examples = 128});
//   }
//   (*job)->Leave();
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "paramo/cluster.h"

namespace paramo {

namespace client {
class JobCore;
}

inline namespace sdk {

// When contributions are applied and pulls answered. A clock is a worker's
// count of finished steps.
struct Sync {
  enum Kind {
    kAsync = 0,  // both at once
    // Contributions per round, when every live worker has given its own; a
    // pull at clock c waits until round c - 1 has closed.
    kBsp = 1,
    // Contributions at once; a pull at clock c waits until the slowest live
    // worker has finished c - staleness steps.
    kSsp = 2,
    // As bsp, but a round closes at `quorum` contributions, or `deadline`
    // after its first one with those it has.
    kRound = 3,
  };

  Sync(Kind k = kBsp) : kind(k) {}  // implicit: Sync::kAsync is a Sync

  // "async", "bsp", "bsp+1" (one backup worker: a round does not wait for the
  // last one, whose contribution is dropped; not repeatable), "ssp:2",
  // "round:3" (quorum 3), "round:3,500ms".
  // Errors: INVALID_ARGUMENT, with the forms
  static Result<Sync> Parse(const std::string& text);
  std::string ToString() const;

  // Whether contributions are kept for rounds.
  bool has_rounds() const { return kind == kBsp || kind == kRound; }

  Kind kind;
  uint32_t staleness = 0;                 // ssp
  uint32_t backup_workers = 0;            // bsp; below the number of workers
  uint32_t quorum = 0;                    // round; at least 1
  std::chrono::milliseconds deadline{0};  // round; 0 = none
};

// What a job is. Its data is cut into data shards, runs of consecutive batches
// of each epoch's shuffled order, which are handed to workers as leases.
struct JobSpec {
  std::string name;  // [a-z0-9][a-z0-9._-]{0,127}
  Sync sync;
  uint32_t workers = 1;  // members to wait for before a round closes
  uint32_t epochs = 1;
  uint64_t examples = 0;  // of one epoch
  uint32_t batch = 0;     // examples of one step of one worker
  uint32_t batches_per_data_shard = 1;
  std::chrono::milliseconds lease{3000};  // silence after which one is dead
  std::string definition;  // the job file, for people and for reproducing it
};

enum class JobPhase {
  kWaiting = 0,  // for its workers
  kRunning = 1,
  kDone = 2,
  kStopped = 3,  // by a person
  kFailed = 4,
};

// Counters of one worker since it joined.
struct WorkerProgress {
  uint64_t clock = 0;
  uint64_t examples = 0;
  double loss = 0;  // mean of the last second
  uint64_t pushes = 0;
  uint64_t pulls = 0;
  uint64_t push_bytes = 0;
  uint64_t pull_bytes = 0;
  double step_ms_p50 = 0;  // of the last second
  double step_ms_p99 = 0;
  std::string metric_name;  // set by the worker that evaluates
  double metric = 0;        // on held-out data, after `metric_epoch` epochs
  double metric_epoch = 0;
  // Where a step's time goes, means of the last second: waiting for the batch,
  // for parameters to be read and sent, computing, waiting for the answer to
  // the last push, waiting for other workers as the sync policy wants it.
  double input_ms = 0;
  double pull_ms = 0;
  double compute_ms = 0;
  double push_ms = 0;
  double wait_ms = 0;
};

// A lease on data shard g of the job: epoch g / shards_per_epoch, batches
// [(g % shards_per_epoch) * batches_per_data_shard, ...) of its order, from
// `batches_done` on. Reported back as the position reached.
struct DataPosition {
  uint64_t data_shard = 0;
  uint32_t batches_done = 0;  // acknowledged pushes
  bool finished = false;
};

struct DataLeases {
  std::vector<DataPosition> leases;  // new ones
  // Nothing is left to hand out, and nothing held by others may come back.
  bool exhausted = false;
  std::chrono::milliseconds retry_after{0};  // when neither: all are leased
};

// What one step pushes besides its parts.
struct StepOptions {
  uint64_t clock = 0;
  uint32_t examples = 1;       // that the gradients are the mean of
  uint64_t data_position = 0;  // MakeDataPosition of the batch just used
  std::chrono::milliseconds deadline{0};  // 0 = ConnectOptions::deadline
  // False: more of this step follows, with the same clock and examples.
  bool ends_step = true;
  std::string codec = {};  // as in PushOptions
};

constexpr uint64_t MakeDataPosition(uint64_t data_shard, uint32_t batches) {
  return data_shard << 32 | batches;
}

// What the job looks like from outside, as `paramo status` shows it.
struct WorkerReport {
  uint32_t worker = 0;
  std::string host;
  int64_t pid = 0;
  bool live = false;
  std::string left_because;  // "done", "dead", or an error
  WorkerProgress progress;
  std::chrono::milliseconds silent{0};
};
struct JobReport {
  JobSpec spec;
  JobPhase phase = JobPhase::kWaiting;
  std::vector<WorkerReport> workers;
  uint64_t data_shards = 0;  // of all epochs
  uint64_t data_shards_finished = 0;
  uint64_t batches_repeated = 0;  // read again after a worker's death
  uint32_t deaths = 0;
  std::string error;  // why it failed
  std::string metric_name;
  double metric = 0;
  double metric_epoch = 0;
  uint64_t pushes = 0;  // sums over all workers, the dead too
  uint64_t pulls = 0;
  uint64_t push_bytes = 0;
  uint64_t pull_bytes = 0;
  uint64_t examples = 0;
};

// One membership in one job. A thread of its own sends heartbeats, so that a
// long computation is not taken for death. The destructor leaves the job with
// an error if Leave was not called.
//
// Threads: all methods from any. The Cluster must outlive it.
class Job {
 public:
  // Returns once every server knows the member.
  // Errors: NOT_FOUND            no such job
  //         FAILED_PRECONDITION  it is over, or has all its workers
  static Result<std::unique_ptr<Job>> Join(Cluster& cluster,
                                           const std::string& name);
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  uint32_t rank() const;
  uint64_t first_clock() const;  // of this member's first step
  const JobSpec& spec() const;

  // Parameters for step `clock`. Under bsp it waits until round clock - 1 has
  // closed. Otherwise as Cluster::Pull.
  // Errors: FAILED_PRECONDITION  no longer a member: join again
  // `codec`: as in PullOptions.
  Status Pull(std::span<const PullPart> parts, uint64_t clock,
              std::chrono::milliseconds deadline = {},
              const std::string& codec = {});
  Future<Status> PullAsync(std::span<const PullPart> parts, uint64_t clock,
                           std::chrono::milliseconds deadline = {},
                           const std::string& codec = {});

  // All gradients of step `clock`, and its end: every shard of the cluster is
  // told, touched or not. Exactly once for each clock, in ascending order; what
  // is pushed before with `ends_step` false belongs to the step too.
  // After an error that is not kNo-applied the step may be half contributed:
  // leave (or let go of) this membership and join again.
  // Errors: as Cluster::Push; FAILED_PRECONDITION  no longer a member
  Result<PushAck> Push(std::span<const PushPart> parts,
                       const StepOptions& options);
  Future<Result<PushAck>> PushAsync(std::span<const PushPart> parts,
                                    const StepOptions& options);

  // Reports positions of the leases held; takes new ones up to `want` held.
  Result<DataLeases> LeaseData(std::span<const DataPosition> positions,
                               uint32_t want);

  // Waits until every live member has come to barrier `name`.
  // Errors: DEADLINE_EXCEEDED  with the ranks that are missing
  Status Barrier(const std::string& name, std::chrono::milliseconds deadline);

  // What the next heartbeat tells the coordinator.
  void Report(const WorkerProgress& progress);

  // As of the last heartbeat. kStopped: end after the current step.
  JobPhase phase() const;
  // False once the coordinator has declared this member dead.
  bool member() const;

  // Ends the membership: nobody waits for this worker any more. `error` empty:
  // it has nothing left to do. Only the first call counts.
  Status Leave(const std::string& error = "");

  Result<JobReport> Describe();

 private:
  explicit Job(std::unique_ptr<client::JobCore> core);

  std::unique_ptr<client::JobCore> core_;
};

}  // namespace sdk
}  // namespace paramo
