// The training loop of one membership in a job.
//
//   reader   | batch t+1     | batch t+2     |
//   worker   | compute t     | compute t+1   |       pull(t+1) follows push(t)
//   network  | push t-1      | push t        |       at once: in bsp it waits
//   at
//            |      pull t+1 |      pull t+2 |       the servers for round t
//
// A sparse model knows what to pull only when it has the batch: its pull of t+1
// comes before compute t+1, and the push of t is on its way meanwhile.
//
// Under bsp a worker without data contributes empty steps, so that nobody
// waits for it and it is there to take over the data of one that dies.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "paramo/job.h"
#include "worker/step/data_feed.h"
#include "worker/step/membership.h"
#include "worker/step/step_meter.h"
#include "worker/step/step_work.h"
#include "worker/step/workload.h"

namespace paramo {

struct TrainerOptions {
  const Workload* work = nullptr;
  StepWork* step = nullptr;  // opened on the job's cluster
  Membership* job = nullptr;
  const std::atomic<bool>* stop = nullptr;  // set: end after this step
  std::string weights_file;                 // of the final weights, or empty
  double slow_factor = 1;                   // how often its computing time
};

// Life: made for a membership, Run once. Threads: one; borrows all it is given.
class Trainer {
 public:
  enum class Ending {
    kDone,     // all data is read, the final metric is reported
    kStopped,  // by a person or a signal
    kLost,     // the membership is over, the job is not: join again
  };

  explicit Trainer(const TrainerOptions& options);
  // Waits for what is in flight, at most until its deadline, unless stopping.
  ~Trainer();

  // Errors: what the cluster, the data or the model says, final ones only.
  absl::StatusOr<Ending> Run();

 private:
  absl::Status Loop();
  absl::Status Step(const DataFeed::Item& item);
  absl::Status StepWithoutData();
  absl::Status Finish();

  // A probe brings one small part, only to learn that a round has closed.
  enum class PullKind { kAll, kProbe };
  void StartPull(uint64_t clock, PullKind kind);
  absl::Status AwaitPull();
  void CountPull(absl::Duration stood);
  void StartPush(const std::vector<PushPart>& parts, uint32_t examples,
                 uint64_t data_position);
  absl::Status SettlePush();
  absl::Status MeetAt(const std::string& barrier);

  absl::Status EvaluateIfLowest(uint64_t epochs_done);
  absl::StatusOr<bool> TryToEnd();
  absl::Status Evaluate(uint64_t epochs_done);
  void ReportProgress();

  bool stopping() const;

  // Fixed at construction.
  const TrainerOptions options_;
  const JobFile& file_;
  StepWork& work_;
  Membership& job_;
  const SteadyClock time_;
  const ClusterStats stats_at_start_;

  uint64_t clock_;       // of the step being worked on
  int side_ = 0;         // its buffers: the other ones are being pushed
  Future<Status> pull_;  // of pull_clock_; invalid once its values are here
  uint64_t pull_clock_ = 0;
  PullKind pull_kind_ = PullKind::kAll;
  Future<Result<PushAck>> push_;  // of the step before
  bool push_has_batch_ = false;
  BatchId pushed_;  // whose gradients push_ carries
  std::unique_ptr<DataFeed> feed_;

  std::optional<uint64_t> epoch_;  // of the batch before
  StepTimes times_;                // of the step under way
  absl::Duration parked_before_;   // ClusterStats::parked, last time
  StepMeter meter_;
  WorkerProgress progress_;
  absl::Duration last_step_at_;
  absl::Duration last_report_at_ = -absl::InfiniteDuration();
};

}  // namespace paramo
