#include "paramo/job.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/core/convert.h"
#include "client/core/errors.h"
#include "client/core/job_core.h"
#include "paramo/v1/control.pb.h"

namespace paramo {

using client::CallOptions;
using client::FromAbsl;
using client::FromProto;

inline namespace sdk {

Job::Job(std::unique_ptr<client::JobCore> core) : core_(std::move(core)) {}
Job::~Job() = default;

Result<std::unique_ptr<Job>> Job::Join(Cluster& cluster,
                                       const std::string& name) {
  auto core = client::JobCore::Join(cluster.core(), name);
  if (!core.ok()) return core.status();
  return std::unique_ptr<Job>(new Job(*std::move(core)));
}

uint32_t Job::rank() const { return core_->rank(); }
uint64_t Job::first_clock() const { return core_->first_clock(); }
const JobSpec& Job::spec() const { return core_->spec(); }
JobPhase Job::phase() const { return core_->phase(); }
bool Job::member() const { return core_->member(); }
void Job::Report(const WorkerProgress& progress) { core_->Report(progress); }
Status Job::Leave(const std::string& error) { return core_->Leave(error); }

// ---- Steps ------------------------------------------------------------------

Future<Status> Job::PullAsync(std::span<const PullPart> parts, uint64_t clock,
                              std::chrono::milliseconds deadline,
                              const std::string& codec) {
  CallOptions call;
  call.clock = clock;
  call.deadline = deadline;
  call.codec = codec;
  return core_->core().Pull(parts, core_->session(), call);
}

Status Job::Pull(std::span<const PullPart> parts, uint64_t clock,
                 std::chrono::milliseconds deadline, const std::string& codec) {
  return PullAsync(parts, clock, deadline, codec).get();
}

Future<Result<PushAck>> Job::PushAsync(std::span<const PushPart> parts,
                                       const StepOptions& options) {
  CallOptions call;
  call.clock = options.clock;
  call.examples = options.examples;
  call.data_position = options.data_position;
  call.deadline = options.deadline;
  call.end_of_clock = options.ends_step;
  call.codec = options.codec;
  return core_->core().Push(parts, {}, core_->session(), call);
}

Result<PushAck> Job::Push(std::span<const PushPart> parts,
                          const StepOptions& options) {
  return PushAsync(parts, options).get();
}

// ---- Coordination -----------------------------------------------------------

Result<DataLeases> Job::LeaseData(std::span<const DataPosition> positions,
                                  uint32_t want) {
  v1::LeaseDataRequest request;
  request.set_job(core_->job());
  request.set_worker(core_->rank());
  request.set_session(core_->session()->id());
  request.set_want(want);
  for (const DataPosition& position : positions) {
    v1::DataPosition& out = *request.add_positions();
    out.set_data_shard(position.data_shard);
    out.set_batches_done(position.batches_done);
    out.set_finished(position.finished);
  }
  auto reply =
      core_->core().control().LeaseData(request, core_->core().Deadline({}));
  if (!reply.ok()) {
    return FromAbsl(reply.status(),
                    absl::StrCat("lease data of job ", spec().name));
  }
  DataLeases leases;
  for (const v1::DataPosition& lease : (*reply)->leases()) {
    DataPosition out;
    out.data_shard = lease.data_shard();
    out.batches_done = lease.batches_done();
    out.finished = lease.finished();
    leases.leases.push_back(out);
  }
  leases.exhausted = (*reply)->exhausted();
  leases.retry_after = std::chrono::milliseconds((*reply)->retry_after_ms());
  return leases;
}

Status Job::Barrier(const std::string& name,
                    std::chrono::milliseconds deadline) {
  v1::BarrierRequest request;
  request.set_job(core_->job());
  request.set_worker(core_->rank());
  request.set_session(core_->session()->id());
  request.set_name(name);
  return FromAbsl(core_->core().control().Barrier(
                      request, core_->core().Deadline(deadline)),
                  absl::StrCat("barrier ", name, " of job ", spec().name));
}

Result<JobReport> Job::Describe() {
  auto report = core_->core().control().DescribeJob(spec().name,
                                                    core_->core().Deadline({}));
  if (!report.ok()) {
    return FromAbsl(report.status(),
                    absl::StrCat("describe job ", spec().name));
  }
  return FromProto(**report);
}

}  // namespace sdk
}  // namespace paramo
