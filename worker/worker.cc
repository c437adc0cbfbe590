// The composition root of a worker: chooses the concrete parts, joins the job,
// and joins again when the cluster has given it up.
#include "worker/worker.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/cluster.h"
#include "paramo/job.h"
#include "worker/step/client_status.h"
#include "worker/step/membership.h"
#include "worker/step/step_work.h"
#include "worker/step/trainer.h"
#include "worker/step/workload.h"

namespace paramo {
namespace {

// A worker that is given up this often is too slow or too far away to help.
constexpr int kMembershipsMax = 10;

constexpr absl::Duration kJoinAgain = absl::Seconds(1);

JobSpec SpecOf(const JobFile& file, size_t examples) {
  JobSpec spec;
  spec.name = file.job;
  spec.sync = file.sync;
  spec.workers = static_cast<uint32_t>(file.workers);
  spec.epochs = static_cast<uint32_t>(file.epochs);
  spec.examples = examples;
  spec.batch = static_cast<uint32_t>(file.worker_batch());
  spec.batches_per_data_shard =
      static_cast<uint32_t>(file.batches_per_data_shard);
  spec.definition = file.text;
  return spec;
}

absl::StatusOr<Trainer::Ending> TrainAsMember(Cluster& cluster,
                                              const TrainerOptions& common) {
  const std::string& name = common.work->job.job;
  Result<std::unique_ptr<Job>> joined = Job::Join(cluster, name);
  if (absl::Status status = FromClient(joined.status()); !status.ok()) {
    if (!absl::IsUnavailable(status)) return status;
    // A server is away, whom a running job needs to say where we begin.
    LogWarning("joining: %s", ToString(status));
    absl::SleepFor(kJoinAgain);
    return Trainer::Ending::kLost;
  }
  std::unique_ptr<Job> job = *std::move(joined);
  LogInfo("joined job %s as rank %d of %d, first step %d", name, job->rank(),
          common.work->job.workers, job->first_clock());
  TrainerOptions options = common;
  const std::unique_ptr<Membership> membership = MakeMembership(cluster, *job);
  options.job = membership.get();
  absl::StatusOr<Trainer::Ending> ending;
  std::string error;
  {
    Trainer trainer(options);
    ending = trainer.Run();
    if (!ending.ok()) {
      error = ToString(ending.status());
    } else if (*ending == Trainer::Ending::kStopped) {
      error = "was asked to stop";
    } else if (*ending == Trainer::Ending::kLost) {
      error = "lost its membership";
    }
    // Before the trainer waits for what is in flight: a pull may be parked for
    // a round that waits for us.
    const Status left = job->Leave(error);
    if (!left.ok() && job->member()) {
      LogWarning("leaving: %s", ToString(FromClient(left)));
    }
  }
  return ending;
}

}  // namespace

absl::Status RunWorker(const WorkerOptions& options,
                       const std::atomic<bool>& stop) {
  PARAMO_ASSIGN_OR_RETURN(Workload work, OpenWorkload(options.job_file));
  std::unique_ptr<StepWork> step = MakeStepWork(work);  // outlives the cluster

  ConnectOptions connect;
  connect.addresses = absl::StrJoin(options.addresses, ",");
  connect.log = [](const std::string& line) { LogWarning("%s", line); };
  auto connected = Cluster::Connect(connect);
  if (!connected.ok()) return FromClient(connected.status());
  std::unique_ptr<Cluster> cluster = *std::move(connected);

  auto created = cluster->CreateJob(SpecOf(work.job, work.train->examples()));
  if (!created.ok()) return FromClient(created.status());
  TrainerOptions common;
  common.work = &work;
  common.step = step.get();
  common.stop = &stop;
  common.weights_file = options.weights_file;
  common.slow_factor = options.slow_factor;
  PARAMO_RETURN_IF_ERROR(step->Open(*cluster));

  for (int membership = 1; !stop; ++membership) {
    PARAMO_ASSIGN_OR_RETURN(const Trainer::Ending ending,
                            TrainAsMember(*cluster, common));
    if (ending != Trainer::Ending::kLost) break;
    if (membership == kMembershipsMax) {
      return absl::AbortedError(absl::StrCat(
          "job ", work.job.job, " has given this worker up ", membership,
          " times; is the machine overloaded or the network slow?"));
    }
    LogWarning("joining again");
  }
  return absl::OkStatus();
}

}  // namespace paramo
