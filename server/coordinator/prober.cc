#include "server/coordinator/prober.h"

#include <set>
#include <utility>

#include "common/base/build.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/wire/reply.h"
#include "common/wire/request.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo {
namespace {

constexpr absl::Duration kProbePeriod = kHeartbeatPeriod;

// A connection that was cut off comes back when TCP sends again, which it does
// ever more rarely: a silent server is connected to anew this often.
constexpr absl::Duration kReconnect = absl::Milliseconds(500);

absl::Status CheckHello(const Rope& rope, uint32_t server,
                        uint64_t incarnation) {
  PARAMO_ASSIGN_OR_RETURN(const wire::ReplyView reply, wire::ParseReply(rope));
  if (reply.hello.has_value() && reply.hello->server_id == server &&
      reply.hello->server_incarnation == incarnation) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("somebody else answers there");
}

}  // namespace

Prober::Prober(Liveness& liveness, AwakeTime& time, ReadState state)
    : liveness_(liveness),
      time_(time),
      state_(std::move(state)),
      thread_([this] { Run(); }) {}

Prober::~Prober() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  thread_.join();
}

void Prober::Run() {
  for (;;) {
    {
      MutexLock lock(mu_);
      if (!stopping_) wake_.WaitFor(mu_, kProbePeriod);
      if (stopping_) return;
    }
    AskAll();
  }
}

void Prober::AskAll() {
  const std::shared_ptr<const v1::ClusterState> state = state_();
  std::set<uint32_t> up;
  if (state != nullptr) {
    for (const v1::Server& server : state->servers()) {
      if (server.status() != v1::SERVER_STATUS_UP) continue;
      up.insert(server.id());
      Ask(state->cluster_id(), server);
    }
  }
  std::erase_if(targets_,
                [&](const auto& target) { return !up.contains(target.first); });
}

// Not one at a time: what is behind a lost packet makes TCP send it again.
void Prober::Ask(uint64_t cluster_id, const v1::Server& server) {
  const absl::Duration now = time_.Now();
  const absl::Duration silence =
      liveness_.Asked(server.id(), server.incarnation(), now);
  Target& target = targets_[server.id()];
  if (target.channel == nullptr || target.incarnation != server.incarnation() ||
      target.channel->address() != server.address() ||
      (silence > kSuspicionTime && now - target.connected_at > kReconnect)) {
    target.incarnation = server.incarnation();
    target.connected_at = now;
    target.channel = Connect(cluster_id, server, now);
  }
  const uint64_t id = target.channel->NextId();
  wire::RequestWriter nothing(id, cluster_id, kDeadlineMaxMs);
  nothing.Allocate();
  target.channel->Send(
      id, nothing.Take(), kReconnect,
      [this, now, server = server.id(),
       incarnation = server.incarnation()](const absl::StatusOr<Rope>& reply) {
        // A refusal is an answer too.
        if (reply.ok())
          liveness_.Answered(server, incarnation, now, time_.Now());
      });
}

std::unique_ptr<DataChannel> Prober::Connect(uint64_t cluster_id,
                                             const v1::Server& server,
                                             absl::Duration now) {
  DataChannel::Options options;
  options.address = server.address();
  options.lane = "probe";
  options.connect_timeout = 2 * kReconnect;
  options.hello = [cluster_id] {
    wire::Hello hello;
    hello.cluster_id = cluster_id;
    hello.build = kBuild;
    return wire::WriteHelloRequest(/*id=*/0, hello);
  };
  options.check_hello = [this, now, id = server.id(),
                         incarnation = server.incarnation()](const Rope& rope) {
    const absl::Status hello = CheckHello(rope, id, incarnation);
    if (hello.ok()) liveness_.Answered(id, incarnation, now, time_.Now());
    return hello;
  };
  return std::make_unique<DataChannel>(executor_, std::move(options));
}

}  // namespace paramo
