#include "server/service/coordinator_link.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/build.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/transport/settings.h"
#include "paramo/v1/control.grpc.pb.h"

namespace paramo {
namespace {

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

void SetDeadline(grpc::ClientContext& context, absl::Duration timeout) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

// Whether registering again may help.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsAborted(status) || absl::IsResourceExhausted(status) ||
         absl::IsAlreadyExists(status);
}

}  // namespace

struct CoordinatorLink::Rpc {
  struct Stubs {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<v1::Coordinator::Stub> coordinator;
    std::unique_ptr<v1::Cluster::Stub> cluster;
  };

  // Written before threads start, but for `current`.
  std::vector<Stubs> stubs;
  std::atomic<size_t> current{0};  // relaxed: any of them will do

  Mutex mu;
  grpc::ClientContext* watch ABSL_GUARDED_BY(mu) = nullptr;  // under way

  Stubs& stub() {
    return stubs[current.load(std::memory_order_relaxed) % stubs.size()];
  }
};

CoordinatorLink::CoordinatorLink(Options options)
    : options_(std::move(options)), rpc_(std::make_unique<Rpc>()) {
  for (const std::string& address : options_.coordinators) {
    Rpc::Stubs stubs;
    stubs.channel = MakeControlChannel(address);
    stubs.coordinator = v1::Coordinator::NewStub(stubs.channel);
    stubs.cluster = v1::Cluster::NewStub(stubs.channel);
    rpc_->stubs.push_back(std::move(stubs));
  }
  registration_.cluster_id = options_.cluster_id;
  registration_.server_id = options_.server_id;
}

CoordinatorLink::~CoordinatorLink() { Stop(/*leaving=*/false); }

void CoordinatorLink::NextCoordinator() {
  rpc_->current.fetch_add(1, std::memory_order_relaxed);
}

absl::StatusOr<CoordinatorLink::Registration> CoordinatorLink::Register(
    absl::Duration timeout) {
  absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    v1::RegisterServerRequest request;
    request.set_cluster_id(registration_.cluster_id);
    request.set_server_id(registration_.server_id);
    request.set_incarnation(options_.incarnation);
    request.set_address(options_.address);
    request.set_metrics_address(options_.metrics_address);
    request.set_build(kBuild);
    v1::RegisterServerReply reply;
    grpc::ClientContext context;
    SetDeadline(context, absl::Seconds(2));
    absl::Status status = FromGrpc(
        rpc_->stub().coordinator->RegisterServer(&context, request, &reply));
    if (status.ok()) {
      registration_ = {reply.cluster_id(), reply.cluster_incarnation(),
                       reply.server_id()};
      if (reply.heartbeat_ms() > 0) {
        heartbeat_ = absl::Milliseconds(reply.heartbeat_ms());
      }
      return registration_;
    }
    if (!IsPassing(status)) return Annotate(status, "registering");
    if (absl::Now() >= deadline) {
      return absl::UnavailableError(absl::StrCat(
          "registering with the coordinator: ", ToString(status),
          " (is paramo-coordinator running, and is --coordinator right?)"));
    }
    NextCoordinator();
    if (!WaitUnlessStopping(absl::Milliseconds(100))) {
      return absl::CancelledError("stopping");
    }
  }
}

void CoordinatorLink::BeatNow() {
  MutexLock lock(mu_);
  beat_now_ = true;
  wake_.NotifyAll();
}

void CoordinatorLink::Start(OnState on_state, FillBeat fill_beat) {
  on_state_ = std::move(on_state);
  fill_beat_ = std::move(fill_beat);
  beating_ = std::thread([this] { Beat(); });
  watching_ = std::thread([this] { Watch(); });
}

void CoordinatorLink::Stop(bool leaving) {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  {
    MutexLock lock(rpc_->mu);
    if (rpc_->watch != nullptr) rpc_->watch->TryCancel();
  }
  if (watching_.joinable()) watching_.join();
  if (beating_.joinable()) {
    beating_.join();
    if (leaving) {
      absl::Status goodbye = SendHeartbeat(/*leaving=*/true);
      if (!goodbye.ok()) {
        LogInfo("the coordinator did not hear our goodbye: %s",
                ToString(goodbye));
      }
    }
  }
}

// False when it is time to stop. Returns early for a beat that cannot wait.
bool CoordinatorLink::WaitUnlessStopping(absl::Duration time) {
  MutexLock lock(mu_);
  if (!stopping_ && !beat_now_) wake_.WaitFor(mu_, time);
  beat_now_ = false;
  return !stopping_;
}

absl::Status CoordinatorLink::SendHeartbeat(bool leaving) {
  v1::HeartbeatRequest request;
  request.set_server_id(registration_.server_id);
  request.set_incarnation(options_.incarnation);
  request.set_leaving(leaving);
  fill_beat_(request);
  v1::HeartbeatReply reply;
  grpc::ClientContext context;
  SetDeadline(context, absl::Seconds(1));
  return FromGrpc(
      rpc_->stub().coordinator->Heartbeat(&context, request, &reply));
}

void CoordinatorLink::Beat() {
  bool lost = false;
  while (WaitUnlessStopping(heartbeat_)) {
    absl::Status status = SendHeartbeat(/*leaving=*/false);
    if (status.ok()) {
      if (lost) LogInfo("the coordinator answers again");
      lost = false;
    } else if (absl::IsNotFound(status)) {
      LogWarning("the coordinator does not know this server; registering");
      auto registered = Register(absl::Seconds(5));
      if (!registered.ok()) {
        LogError("%s", ToString(registered.status()));
      }
    } else {
      if (!lost) LogWarning("heartbeat: %s", ToString(status));
      lost = true;
      NextCoordinator();
    }
  }
}

void CoordinatorLink::Watch() {
  for (;;) {
    absl::Status status = WatchOnce();
    {
      MutexLock lock(mu_);
      if (stopping_) return;
    }
    LogDebug("watch of the cluster state ended: %s", ToString(status));
    NextCoordinator();
    MutexLock lock(mu_);
    if (!stopping_) wake_.WaitFor(mu_, absl::Milliseconds(100));
    if (stopping_) return;
  }
}

absl::Status CoordinatorLink::WatchOnce() {
  grpc::ClientContext context;
  {
    MutexLock lock(rpc_->mu);
    rpc_->watch = &context;
  }
  {  // Stop may have come before the context was there to cancel.
    MutexLock lock(mu_);
    if (stopping_) context.TryCancel();
  }
  v1::WatchRequest request;
  request.set_cluster_id(registration_.cluster_id);
  request.set_after_version(applied_version_.load(std::memory_order_relaxed));
  auto reader = rpc_->stub().cluster->Watch(&context, request);
  v1::ClusterState state;
  while (reader->Read(&state)) {
    if (state.version() <= applied_version_.load(std::memory_order_relaxed)) {
      continue;  // never back
    }
    uint64_t version = state.version();
    on_state_(std::make_shared<const v1::ClusterState>(std::move(state)));
    state.Clear();
    applied_version_.store(version, std::memory_order_relaxed);
  }
  absl::Status status = FromGrpc(reader->Finish());
  MutexLock lock(rpc_->mu);
  rpc_->watch = nullptr;
  return status;
}

}  // namespace paramo
