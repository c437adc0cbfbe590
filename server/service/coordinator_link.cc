#include "server/service/coordinator_link.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/build.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/transport/settings.h"
#include "common/transport/state_reader.h"
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

// A heartbeat without an answer for so long is given up, and the next
// coordinator asked. A frozen leader must not take longer to be left than the
// 600 ms that its successor gives servers to come.
constexpr absl::Duration kBeatTime = absl::Seconds(1);
constexpr absl::Duration kBeatTimeOfSeveral = absl::Milliseconds(250);

// While beats fail, a lost coordinator's connection is tried this often, not
// at gRPC's own growing intervals of up to 2 s: one that comes back gives its
// servers only 600 ms to be heard.
constexpr int kBeatsPerReconnect = 4;

// While no coordinator answers, one server after another is watched for so
// long.
constexpr absl::Duration kPeerWatchTime = absl::Seconds(1);

constexpr size_t kNoCoordinator = ~size_t{0};

// So many beats with a newer state than the watch brought end the watch.
constexpr int kBeatsBehind = 10;

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
  };

  // Written before threads start, but for `current`.
  std::vector<Stubs> stubs;
  std::atomic<size_t> current{0};  // relaxed: any of them will do

  Mutex mu;
  grpc::ClientContext* watch ABSL_GUARDED_BY(mu) = nullptr;  // under way
  size_t watched ABSL_GUARDED_BY(mu) = 0;  // the coordinator it is to, or none

  // Hands every newer state to the link until the stream ends.
  absl::Status Follow(CoordinatorLink& link,
                      const std::shared_ptr<grpc::Channel>& from,
                      size_t coordinator, grpc::ClientContext& context);

  void Reconnect() {
    for (const Stubs& one : stubs) {
      grpc::experimental::ChannelResetConnectionBackoff(one.channel.get());
    }
  }

  // Ends the watch under way; another follows.
  void EndWatch() {
    MutexLock lock(mu);
    if (watch != nullptr) watch->TryCancel();
  }

  // Ends a watch of another coordinator than the one that leads now: a paused
  // or cut-off one says nothing, and says so to nobody.
  void EndWatchUnlessOf(size_t coordinator) {
    MutexLock lock(mu);
    if (watch != nullptr && watched != coordinator) watch->TryCancel();
  }
};

CoordinatorLink::CoordinatorLink(Options options)
    : options_(std::move(options)), rpc_(std::make_unique<Rpc>()) {
  for (const std::string& address : options_.coordinators) {
    Rpc::Stubs stubs;
    stubs.channel = MakeControlChannel(address);
    stubs.coordinator = v1::Coordinator::NewStub(stubs.channel);
    rpc_->stubs.push_back(std::move(stubs));
  }
  registration_.cluster_id = options_.cluster_id;
  registration_.server_id = options_.server_id;
}

CoordinatorLink::~CoordinatorLink() { Stop(/*leaving=*/false); }

size_t CoordinatorLink::ThisCoordinator() const {
  return rpc_->current.load(std::memory_order_relaxed);
}

void CoordinatorLink::NextCoordinator(size_t coordinator) {
  const size_t next = (coordinator + 1) % rpc_->stubs.size();
  rpc_->current.compare_exchange_strong(coordinator, next,
                                        std::memory_order_relaxed);
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
    for (const uint32_t shard : options_.damaged_shards) {
      request.add_damaged_shards(shard);
    }
    request.set_continues(options_.continues);
    v1::RegisterServerReply reply;
    grpc::ClientContext context;
    SetDeadline(context, absl::Seconds(2));
    const size_t coordinator = ThisCoordinator();
    absl::Status status =
        FromGrpc(rpc_->stubs[coordinator].coordinator->RegisterServer(
            &context, request, &reply));
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
    NextCoordinator(coordinator);
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
      absl::Status goodbye =
          SendHeartbeat(ThisCoordinator(), /*leaving=*/true).status();
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

absl::StatusOr<uint64_t> CoordinatorLink::SendHeartbeat(size_t coordinator,
                                                        bool leaving) {
  v1::HeartbeatRequest request;
  request.set_server_id(registration_.server_id);
  request.set_incarnation(options_.incarnation);
  request.set_leaving(leaving);
  fill_beat_(request);
  v1::HeartbeatReply reply;
  grpc::ClientContext context;
  SetDeadline(context,
              rpc_->stubs.size() == 1 ? kBeatTime : kBeatTimeOfSeveral);
  PARAMO_RETURN_IF_ERROR(
      FromGrpc(rpc_->stubs[coordinator].coordinator->Heartbeat(
          &context, request, &reply)));
  return reply.version();
}

void CoordinatorLink::Beat() {
  int failures = 0;
  int behind = 0;  // beats in a row that told of a state not seen yet
  uint64_t seen_before = 0;
  while (WaitUnlessStopping(heartbeat_)) {
    const size_t coordinator = ThisCoordinator();
    const absl::StatusOr<uint64_t> newest =
        SendHeartbeat(coordinator, /*leaving=*/false);
    const absl::Status& status = newest.status();
    if (status.ok()) {
      // A watch damaged on the way may wait for ever for the rest of a message.
      const uint64_t seen = applied_version_.load(std::memory_order_relaxed);
      behind = seen < *newest && seen == seen_before ? behind + 1 : 0;
      seen_before = seen;
      if (behind >= kBeatsBehind) {
        LogWarning("the watch of the cluster state says nothing; again");
        rpc_->EndWatch();
        behind = 0;
      }
      if (lost_.exchange(false, std::memory_order_relaxed)) {
        LogInfo("the coordinator answers again");
      }
      rpc_->EndWatchUnlessOf(coordinator);
    } else if (absl::IsNotFound(status)) {
      LogWarning("the coordinator does not know this server; registering");
      auto registered = Register(absl::Seconds(5));
      if (!registered.ok()) {
        LogError("%s", ToString(registered.status()));
      }
    } else {
      if (!lost_.exchange(true, std::memory_order_relaxed)) {
        LogWarning("heartbeat: %s", ToString(status));
        rpc_->EndWatch();  // it may say nothing for ever
      }
      if (++failures % kBeatsPerReconnect == 0) rpc_->Reconnect();
      NextCoordinator(coordinator);
    }
  }
}

void CoordinatorLink::Watch() {
  for (size_t turn = 0;; ++turn) {
    absl::Status status;
    if (lost_.load(std::memory_order_relaxed) && !peers_.empty()) {
      status = WatchPeer(std::string(peers_[turn % peers_.size()]));
    } else {
      const size_t coordinator = ThisCoordinator();
      status = WatchCoordinator(coordinator);
      NextCoordinator(coordinator);
    }
    {
      MutexLock lock(mu_);
      if (stopping_) return;
    }
    LogDebug("watch of the cluster state ended: %s", ToString(status));
    MutexLock lock(mu_);
    if (!stopping_) wake_.WaitFor(mu_, absl::Milliseconds(100));
    if (stopping_) return;
  }
}

absl::Status CoordinatorLink::WatchCoordinator(size_t coordinator) {
  grpc::ClientContext context;
  return rpc_->Follow(*this, rpc_->stubs[coordinator].channel, coordinator,
                      context);
}

// Every server hands on the state it has, to whoever asks.
absl::Status CoordinatorLink::WatchPeer(const std::string& address) {
  grpc::ClientContext context;
  SetDeadline(context, kPeerWatchTime);
  return rpc_->Follow(*this, MakeControlChannel(address), kNoCoordinator,
                      context);
}

absl::Status CoordinatorLink::Rpc::Follow(
    CoordinatorLink& link, const std::shared_ptr<grpc::Channel>& from,
    size_t coordinator, grpc::ClientContext& context) {
  {
    MutexLock lock(mu);
    watch = &context;
    watched = coordinator;
  }
  {  // Stop may have come before the context was there to cancel.
    MutexLock lock(link.mu_);
    if (link.stopping_) context.TryCancel();
  }
  v1::WatchRequest request;
  request.set_cluster_id(link.registration_.cluster_id);
  request.set_after_version(
      link.applied_version_.load(std::memory_order_relaxed));
  StateReader reader(from, context, request);
  v1::ClusterState state;
  while (reader.Read(state)) link.Take(std::exchange(state, {}));
  absl::Status status = reader.Finish();
  MutexLock lock(mu);
  watch = nullptr;
  return status;
}

void CoordinatorLink::Take(v1::ClusterState state) {
  const uint64_t version = state.version();
  if (version <= applied_version_.load(std::memory_order_relaxed)) {
    return;  // never back
  }
  peers_.clear();
  for (const v1::Server& server : state.servers()) {
    if (server.status() == v1::SERVER_STATUS_UP &&
        server.id() != registration_.server_id) {
      peers_.push_back(server.address());
    }
  }
  on_state_(std::make_shared<const v1::ClusterState>(std::move(state)));
  applied_version_.store(version, std::memory_order_relaxed);
}

}  // namespace paramo
