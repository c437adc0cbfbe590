#include "client/core/job_core.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/core/convert.h"
#include "client/core/errors.h"
#include "paramo/v1/control.pb.h"

namespace paramo::client {
namespace {

// Several heartbeats fit into a lease, and progress is fresh for people.
absl::Duration HeartbeatEvery(const JobSpec& spec) {
  return std::min(absl::FromChrono(spec.lease) / 6, absl::Milliseconds(250));
}

// A heartbeat that takes longer is overtaken by the next one.
constexpr absl::Duration kHeartbeatTimeout = absl::Seconds(1);
constexpr absl::Duration kLeaveTimeout = absl::Seconds(5);

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

}  // namespace

Result<std::unique_ptr<JobCore>> JobCore::Join(Core& core,
                                               const std::string& name) {
  auto reply =
      core.control().JoinJob(name, HostName(), getpid(), core.Deadline({}));
  if (!reply.ok()) {
    return FromAbsl(reply.status(), absl::StrCat("join job ", name));
  }
  std::unique_ptr<JobCore> job(new JobCore(core));
  job->job_ = (*reply)->job();
  job->rank_ = (*reply)->worker();
  job->first_clock_ = (*reply)->first_clock();
  job->spec_ = FromProto((*reply)->spec());
  if (job->spec_.lease.count() == 0) job->spec_.lease = JobSpec().lease;
  job->session_ =
      std::make_shared<Session>((*reply)->session(), (*reply)->session_epoch(),
                                core.view().map()->shard_count());
  JobCore* self = job.get();
  job->heartbeats_ = std::thread([self] { self->RunHeartbeats(); });
  return job;
}

JobCore::~JobCore() { (void)Leave("the worker ended without leaving the job"); }

void JobCore::Report(const WorkerProgress& progress) {
  MutexLock lock(mu_);
  progress_ = progress;
}

Status JobCore::Leave(const std::string& error) {
  {
    MutexLock lock(mu_);
    if (left_) return Status();
    left_ = true;
    stopping_ = true;
    wake_.NotifyAll();
  }
  heartbeats_.join();
  // The last word on progress, so that the job's sums are whole.
  Beat();
  v1::LeaveJobRequest request;
  request.set_job(job_);
  request.set_worker(rank_);
  request.set_session(session_->id());
  request.set_error(error);
  return FromAbsl(core_.control().LeaveJob(request, kLeaveTimeout),
                  absl::StrCat("leave job ", spec_.name));
}

void JobCore::RunHeartbeats() {
  const absl::Duration every = HeartbeatEvery(spec_);
  while (true) {
    Beat();
    MutexLock lock(mu_);
    const absl::Time until = absl::Now() + every;
    while (!stopping_ && absl::Now() < until) {
      wake_.WaitFor(mu_, until - absl::Now());
    }
    if (stopping_) return;
  }
}

void JobCore::Beat() {
  v1::WorkerHeartbeatRequest request;
  request.set_job(job_);
  request.set_worker(rank_);
  request.set_session(session_->id());
  {
    MutexLock lock(mu_);
    ToProto(progress_, *request.mutable_progress());
  }
  auto reply = core_.control().WorkerHeartbeat(request, kHeartbeatTimeout);
  if (reply.ok()) {
    phase_.store(static_cast<JobPhase>(static_cast<int>((*reply)->phase())),
                 std::memory_order_relaxed);
  } else if (absl::IsNotFound(reply.status())) {
    member_.store(false, std::memory_order_relaxed);
  }
  // Other failures: the coordinator is away; its leases freeze meanwhile.
}

}  // namespace paramo::client
