// Probes to a server behind a proxy that holds what passes.
#include "server/coordinator/prober.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/transport/data_server.h"
#include "common/wire/reply.h"
#include "paramo/v1/cluster.pb.h"
#include "tests/chaos/proxy.h"
#include "tests/integration/coordinator/coordinator_testing.h"

namespace paramo {
namespace {

using chaos::Proxy;
using chaos::ProxyFault;

constexpr uint64_t kIncarnation = 11;

// Greets as server `id`, and answers everything else with a refusal.
std::unique_ptr<DataServer> StartServer(uint32_t id) {
  DataServer::Options options;
  options.listen = {"127.0.0.1:0"};
  options.handler = [id](std::unique_ptr<IncomingCall> call) {
    wire::Hello hello;
    hello.server_id = id;
    hello.server_incarnation = kIncarnation;
    const uint64_t request = wire::PeekId(call->request());
    call->Reply(
        call->first()
            ? wire::WriteReply(request, 0, wire::Reason::kNone, 0, "", &hello)
            : wire::WriteReply(request, /*code=*/14,
                               wire::Reason::kShuttingDown, 0, "starting",
                               nullptr));
  };
  auto server = DataServer::Start(std::move(options));
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? std::move(*server) : nullptr;
}

class ProberTest : public testing::Test {
 protected:
  ProberTest() {
    auto proxy = Proxy::Start({});
    EXPECT_TRUE(proxy.ok()) << proxy.status();
    proxy_ = *std::move(proxy);
    proxy_->SetTarget(absl::StrCat("127.0.0.1:", server_->port()));
    v1::Server& server = *state_->add_servers();
    server.set_id(1);
    server.set_incarnation(kIncarnation);
    server.set_status(v1::SERVER_STATUS_UP);
    server.set_address(proxy_->address());
    state_->set_cluster_id(7);
    liveness_.Track(1, kIncarnation, time_.Now());
  }
  void Start() {
    prober_ =
        std::make_unique<Prober>(liveness_, time_, [this] { return state_; });
  }
  // Time passes by being read.
  bool Comes(const std::function<bool(absl::Duration silence)>& wanted) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (absl::Now() < deadline) {
      // Another one answers all the time.
      liveness_.Answered(2, kIncarnation, time_.Now(), time_.Now());
      const auto found = liveness_.FindUnanswering(time_.Now());
      if (wanted(found.empty() ? absl::ZeroDuration() : found[0].silence)) {
        return true;
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }
  bool Falls() {
    return Comes([](absl::Duration s) { return s > kProbeSuspicion; });
  }
  bool Answers() {
    return Comes([](absl::Duration s) { return s == absl::ZeroDuration(); });
  }

  SteadyClock clock_;
  AwakeTime time_{clock_};
  Liveness liveness_;
  std::unique_ptr<DataServer> server_ = StartServer(1);
  std::unique_ptr<Proxy> proxy_;
  std::shared_ptr<v1::ClusterState> state_ =
      std::make_shared<v1::ClusterState>();
  std::unique_ptr<Prober> prober_;
};

TEST_F(ProberTest, Rule3_6_AServerThatPacketsDoNotReachFallsSilentAndReturns) {
  Start();
  for (const ProxyFault fault : {ProxyFault::kHold, ProxyFault::kHalfOpen}) {
    const uint64_t before = proxy_->counters().bytes;
    EXPECT_TRUE(Comes([&](absl::Duration) {
      return proxy_->counters().bytes > before + 1000;
    }));
    proxy_->Inject(fault);
    EXPECT_TRUE(Falls());
    proxy_->Heal();
    EXPECT_TRUE(Answers());
  }
}

TEST_F(ProberTest, SomebodyElseAtItsAddressDoesNotAnswerForIt) {
  server_ = StartServer(2);
  proxy_->SetTarget(absl::StrCat("127.0.0.1:", server_->port()));
  Start();
  EXPECT_TRUE(Falls());
}

}  // namespace
}  // namespace paramo
