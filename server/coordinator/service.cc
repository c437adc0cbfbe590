// Service Coordinator. Every call takes the same way: into the loop, through
// one method of Core, and out when that says so. Only heartbeats of servers
// take none of it.
#include "server/coordinator/service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/transport/not_leading.h"
#include "paramo/v1/control.grpc.pb.h"

namespace paramo {
namespace {

// A barrier answers this long before the caller's own deadline, so that the
// answer, which names who is missing, arrives in time.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(100);

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message().substr(0, kErrorBytesMax)));
}

// What is left of the caller's deadline, within our own bounds.
absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  absl::Duration most = absl::Milliseconds(kDeadlineMaxMs);
  auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) {
    return absl::Milliseconds(kDeadlineDefaultMs);
  }
  absl::Duration left =
      absl::FromChrono(deadline - std::chrono::system_clock::now());
  left -= std::min(kAnswerTime, left / 4);
  return std::min(std::max(left, absl::ZeroDuration()), most);
}

class CoordinatorService final : public v1::Coordinator::CallbackService {
 public:
  explicit CoordinatorService(const ServiceParts& parts) : parts_(parts) {}

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  // Not through the loop, so that it is never behind a slow request.
  Reactor* Heartbeat(Context* context, const v1::HeartbeatRequest* request,
                     v1::HeartbeatReply* reply) override {
    Reactor* reactor = context->DefaultReactor();
    absl::StatusOr<std::shared_ptr<Term>> found = parts_.leadership.Current();
    if (!found.ok())
      return Refuse("Heartbeat", context, reactor, found.status());
    Term& term = **found;
    std::map<uint32_t, uint64_t> open_rounds;
    for (const v1::JobClock& job : request->jobs()) {
      open_rounds[job.job()] = job.open_round();
    }
    absl::StatusOr<bool> advanced =
        term.liveness.Hear(request->server_id(), request->incarnation(),
                           request->applied_version(), parts_.time.Now(),
                           open_rounds, request->data_progress());
    if (advanced.ok() && !request->replicas().empty()) {
      // Dropped when the inbox is full: replicas say it again.
      (void)term.loop->Post([beat = *request](Core& core, absl::Duration now) {
        core.OnReports(beat, now);
      });
    }
    auto state = parts_.watch.state();
    if (state != nullptr) reply->set_version(state->version());
    absl::Status status = advanced.status();
    if (status.ok() && request->leaving()) {
      status = term.loop->Post(
          [server = request->server_id(), incarnation = request->incarnation()](
              Core& core, absl::Duration now) {
            core.ServerGone(server, incarnation, "it said goodbye", now);
          });
    } else if (status.ok() && *advanced && term.core->has_applied_waits()) {
      // Somebody may wait for just this; when the inbox is full, the next tick
      // finds it.
      (void)term.loop->Post(
          [](Core& core, absl::Duration now) { core.Tick(now); });
    }
    Finish("Heartbeat", reactor, status);
    return reactor;
  }

  Reactor* Barrier(Context* context, const v1::BarrierRequest* request,
                   v1::BarrierReply*) override {
    absl::Duration timeout = TimeLeft(*context);
    return Run(
        "Barrier", context,
        [request, timeout](Core& core, absl::Duration now, Core::Done done) {
          core.Barrier(*request, timeout, now, std::move(done));
        });
  }

// The rest: Core has a method of the same name for each.
#define PARAMO_FORWARD(method, Request, ReplyType)                          \
  Reactor* method(Context* context, const v1::Request* request,             \
                  v1::ReplyType* reply) override {                          \
    return Run(                                                             \
        #method, context,                                                   \
        [request, reply](Core& core, absl::Duration now, Core::Done done) { \
          core.method(*request, reply, now, std::move(done));               \
        });                                                                 \
  }
  PARAMO_FORWARD(RegisterServer, RegisterServerRequest, RegisterServerReply)
  PARAMO_FORWARD(CreateTable, CreateTableRequest, CreateTableReply)
  PARAMO_FORWARD(DescribeTable, DescribeTableRequest, Table)
  PARAMO_FORWARD(AlterTable, AlterTableRequest, Table)
  PARAMO_FORWARD(DropTable, DropTableRequest, DropTableReply)
  PARAMO_FORWARD(ListTables, ListTablesRequest, ListTablesReply)
  PARAMO_FORWARD(OpenSession, OpenSessionRequest, OpenSessionReply)
  PARAMO_FORWARD(CreateJob, CreateJobRequest, CreateJobReply)
  PARAMO_FORWARD(JoinJob, JoinJobRequest, JoinJobReply)
  PARAMO_FORWARD(LeaveJob, LeaveJobRequest, LeaveJobReply)
  PARAMO_FORWARD(WorkerHeartbeat, WorkerHeartbeatRequest, WorkerHeartbeatReply)
  PARAMO_FORWARD(LeaseData, LeaseDataRequest, LeaseDataReply)
  PARAMO_FORWARD(DescribeJob, DescribeJobRequest, JobReport)
  PARAMO_FORWARD(ListJobs, ListJobsRequest, ListJobsReply)
  PARAMO_FORWARD(StopJob, StopJobRequest, StopJobReply)
  PARAMO_FORWARD(TransferShard, TransferShardRequest, TransferShardReply)
  PARAMO_FORWARD(UnsafePromote, UnsafePromoteRequest, UnsafePromoteReply)
  PARAMO_FORWARD(DrainServer, DrainServerRequest, DrainServerReply)
#undef PARAMO_FORWARD

 private:
  template <typename Call>
  Reactor* Run(const char* method, Context* context, Call call) {
    Reactor* reactor = context->DefaultReactor();
    absl::StatusOr<std::shared_ptr<Term>> term = parts_.leadership.Current();
    if (!term.ok()) return Refuse(method, context, reactor, term.status());
    absl::Status posted = (*term)->loop->Post(
        [this, method, context, reactor, call](Core& core, absl::Duration now) {
          // The caller gave up while this waited: do nothing for nobody.
          if (context->IsCancelled()) {
            return Finish(method, reactor, absl::CancelledError("cancelled"));
          }
          call(core, now, [this, method, reactor](const absl::Status& status) {
            Finish(method, reactor, status);
          });
        });
    if (!posted.ok()) Finish(method, reactor, posted);
    return reactor;
  }

  Reactor* Refuse(const char* method, Context* context, Reactor* reactor,
                  const absl::Status& why) {
    context->AddTrailingMetadata(kNotLeadingKey, "1");
    Finish(method, reactor, why);
    return reactor;
  }

  void Finish(const char* method, Reactor* reactor,
              const absl::Status& status) {
    parts_.metrics
        .AddCounter("paramo_coordinator_calls_total",
                    "Calls answered, by method and status code.",
                    {{"method", method},
                     {"code", absl::StatusCodeToString(status.code())}})
        .Add();
    reactor->Finish(ToGrpc(status));
  }

  const ServiceParts parts_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeCoordinatorService(
    const ServiceParts& parts) {
  return std::make_unique<CoordinatorService>(parts);
}

}  // namespace paramo
