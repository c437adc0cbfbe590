// The composition root: chooses the store, the clock and the ports, and puts
// the parts together.
#include "server/coordinator/coordinator.h"

#include <grpcpp/impl/service_type.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/clock/clock.h"
#include "common/metrics/metrics_http.h"
#include "common/transport/address.h"
#include "common/transport/data_server.h"
#include "common/transport/insecure.h"
#include "common/transport/state_watch.h"
#include "paramo/v1/cluster.pb.h"
#include "server/coordinator/embedded_kv.h"
#include "server/coordinator/etcd_kv.h"
#include "server/coordinator/leader_loop.h"
#include "server/coordinator/leadership.h"
#include "server/coordinator/service.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

constexpr char kEtcdScheme[] = "etcd://";
// Of a lease, what is never used: for clocks that differ in speed.
constexpr double kLeaseMargin = 0.15;

absl::Status MakeDataDir(const std::string& path) {
  if (path.empty()) {
    return absl::InvalidArgumentError(
        "no data directory; give --data-dir DIR, where the cluster's state "
        "is kept, or --store etcd://HOST:PORT,...");
  }
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("data directory ", path, ": ", error.message()));
}

absl::StatusOr<std::unique_ptr<KvStore>> OpenStore(
    const CoordinatorOptions& options, const Clock& clock) {
  if (!options.etcd.empty()) {
    PARAMO_RETURN_IF_ERROR(ValidateName("cluster name", options.cluster_name));
    EtcdKvOptions etcd;
    etcd.endpoints = options.etcd;
    etcd.prefix = absl::StrCat("/paramo/", options.cluster_name, "/");
    PARAMO_ASSIGN_OR_RETURN(etcd.security,
                            ReadEtcdSecurity(options.etcd_security));
    return OpenEtcdKv(etcd);
  }
  PARAMO_RETURN_IF_ERROR(MakeDataDir(options.data_dir));
  EmbeddedKvOptions embedded;
  embedded.path = options.data_dir + "/store";
  embedded.clock = &clock;
  return OpenEmbeddedKv(embedded);
}

}  // namespace

absl::Status ParseStore(absl::string_view text,
                        std::vector<std::string>& endpoints) {
  endpoints.clear();
  if (text == "embedded") return absl::OkStatus();
  if (!absl::ConsumePrefix(&text, kEtcdScheme)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--store is '", text, "'; it must be `embedded` or ", kEtcdScheme,
        "HOST:PORT,HOST:PORT, for example etcd://10.0.0.1:2379"));
  }
  absl::StatusOr<std::vector<Address>> addresses = ParseAddressList(text);
  PARAMO_RETURN_IF_ERROR(Annotate(addresses.status(), "--store"));
  for (const Address& address : *addresses) {
    endpoints.push_back(address.ToString());
  }
  return absl::OkStatus();
}

// In order of construction; destroyed in reverse.
struct Coordinator::Parts {
  explicit Parts(CoordinatorOptions given) : options(std::move(given)) {}

  const CoordinatorOptions options;
  SteadyClock clock;
  AwakeTime time{clock};
  MetricsRegistry metrics;
  StateWatch watch;
  std::unique_ptr<KvStore> kv;
  Leadership leadership;
  std::string address;      // that others reach
  uint64_t cluster_id = 0;  // of the newest term; on the thread of the terms
  std::unique_ptr<grpc::Service> coordinator_service;
  std::unique_ptr<grpc::Service> stats_service;
  std::unique_ptr<DataServer> server;
  std::unique_ptr<LeaderLoop> leader_loop;  // with etcd
  std::vector<MetricsRegistry::Token> gauges;
  std::unique_ptr<MetricsHttp> metrics_http;

  absl::StatusOr<std::string> Serve();
  absl::Status BeginTerm(const StoreFence& fence,
                         std::function<void(const absl::Status&)> on_failed);
  void EndTerm();
  void Campaign();
  void AddGauge(const char* name, const char* help,
                std::function<double()> value);
  absl::StatusOr<std::string> ServeMetrics();
};

absl::StatusOr<std::string> Coordinator::Parts::Serve() {
  PARAMO_ASSIGN_OR_RETURN(Address bound, ParseAddress(options.listen));
  watch.Withdraw("this coordinator is starting; try again");
  coordinator_service =
      MakeCoordinatorService({leadership, time, watch, metrics});
  stats_service = MakeStatsService(metrics);

  DataServer::Options server_options;
  server_options.listen = {options.listen};
  server_options.services = {coordinator_service.get(), stats_service.get(),
                             watch.service()};
  server_options.reflection = options.reflection;
  server_options.message_bytes_max = kControlMessageBytesMax;
  server_options.connections.per_peer = options.connections_per_peer_max;
  server_options.tcp_congestion = options.tcp_congestion;
  server_options.metrics = &metrics;
  PARAMO_ASSIGN_OR_RETURN(server, DataServer::Start(server_options));
  bound.port = server->port();
  address = options.advertise.empty() ? bound.ToString() : options.advertise;
  return bound.ToString();
}

// ---- Terms ------------------------------------------------------------------

absl::Status Coordinator::Parts::BeginTerm(
    const StoreFence& fence,
    std::function<void(const absl::Status&)> on_failed) {
  CoreOptions core_options;
  core_options.shards = options.shards;
  core_options.servers_expected = options.servers_expected;
  core_options.replicas = options.replicas > 0
                              ? options.replicas
                              : std::min(options.servers_expected, 2u);
  core_options.balance_after = options.balance_after;
  core_options.rule_check = options.rule_check;
  core_options.fence = fence;
  core_options.cluster_id = cluster_id;
  auto publish = [this](std::shared_ptr<const v1::ClusterState> state) {
    watch.Publish(std::move(state));
  };
  auto term = std::make_shared<Term>();
  PARAMO_ASSIGN_OR_RETURN(
      term->core,
      Core::Open(core_options, *kv, term->liveness, time.Now(), publish));
  cluster_id = term->core->cluster_id();
  term->loop = std::make_unique<Loop>(*term->core, time, std::move(on_failed));
  term->prober = std::make_unique<Prober>(term->liveness, time,
                                          [this] { return watch.state(); });
  auto holds = fence.absent() ? [] { return true; } : fence.holds;
  leadership.Begin(std::move(term), std::move(holds));
  return absl::OkStatus();
}

// The state goes last: until its loop has stopped, the term may publish.
void Coordinator::Parts::EndTerm() {
  leadership.End();
  watch.Withdraw("this coordinator leads no longer; ask the others");
}

void Coordinator::Parts::Campaign() {
  LeaderLoopOptions loop_options;
  loop_options.election.address = address;
  loop_options.election.ttl = options.leader_lease;
  loop_options.election.margin = options.leader_lease * kLeaseMargin;
  loop_options.history = options.etcd_history;
  LeaderHooks hooks;
  hooks.begin = [this](const StoreFence& fence) {
    return BeginTerm(fence,
                     [this](const absl::Status&) { leader_loop->FailTerm(); });
  };
  hooks.end = [this] { EndTerm(); };
  hooks.follow = [this](const std::string& leader) {
    leadership.Follow(leader);
    watch.Withdraw(leader.empty()
                       ? "no coordinator leads; try again"
                       : absl::StrCat("the coordinator at ", leader, " leads"));
  };
  leader_loop = std::make_unique<LeaderLoop>(
      *kv, clock, std::move(loop_options), std::move(hooks));
  leader_loop->Start();
}

// ---- Metrics ----------------------------------------------------------------

void Coordinator::Parts::AddGauge(const char* name, const char* help,
                                  std::function<double()> value) {
  gauges.push_back(metrics.AddGaugeFunction(name, help, {}, std::move(value)));
}

absl::StatusOr<std::string> Coordinator::Parts::ServeMetrics() {
  AddGauge("paramo_coordinator_leading", "1 while it leads, else 0.",
           [this] { return leadership.Current().ok() ? 1.0 : 0.0; });
  AddGauge(
      "paramo_coordinator_servers_up", "Servers with a sign of life.", [this] {
        auto term = leadership.Current();
        return term.ok() ? static_cast<double>((*term)->liveness.Count()) : 0.0;
      });
  AddGauge(
      "paramo_coordinator_servers_out_of_reach",
      "Servers that beat and do not answer where they serve.", [this] {
        auto state = watch.state();
        if (state == nullptr) return 0.0;
        return static_cast<double>(std::count_if(
            state->servers().begin(), state->servers().end(),
            [](const v1::Server& server) { return server.out_of_reach(); }));
      });
  AddGauge("paramo_coordinator_state_version",
           "Version of the cluster state; 0 while it does not lead.", [this] {
             auto state = watch.state();
             return state == nullptr ? 0.0
                                     : static_cast<double>(state->version());
           });
  if (options.metrics_listen.empty()) return std::string();
  PARAMO_ASSIGN_OR_RETURN(Address bound, ParseAddress(options.metrics_listen));
  MetricsHttp::Options http;
  http.host = bound.host == "localhost" ? "127.0.0.1" : bound.host;
  http.port = bound.port;
  http.registry = &metrics;
  PARAMO_ASSIGN_OR_RETURN(metrics_http, MetricsHttp::Start(std::move(http)));
  bound.port = metrics_http->port();
  return bound.ToString();
}

// ---- Life -------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Start(
    CoordinatorOptions options) {
  if (!options.on_failed) options.on_failed = [](const absl::Status&) {};
  PARAMO_RETURN_IF_ERROR(CheckListen(options.listen, options.insecure_listen));
  PARAMO_RETURN_IF_ERROR(
      CheckListen(options.metrics_listen, options.insecure_listen));
  // Made first: whatever fails below, its destructor stops what has started.
  std::unique_ptr<Coordinator> coordinator(
      new Coordinator(std::make_unique<Parts>(std::move(options))));
  Parts& parts = *coordinator->parts_;
  PARAMO_ASSIGN_OR_RETURN(parts.kv, OpenStore(parts.options, parts.clock));
  PARAMO_ASSIGN_OR_RETURN(coordinator->address_, parts.Serve());
  if (parts.options.etcd.empty()) {
    PARAMO_RETURN_IF_ERROR(
        parts.BeginTerm(StoreFence(), parts.options.on_failed));
  } else {
    parts.Campaign();
  }
  PARAMO_ASSIGN_OR_RETURN(coordinator->metrics_address_, parts.ServeMetrics());
  return coordinator;
}

Coordinator::Coordinator(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)) {}

// Watches and waiting calls end first; the server then has nothing left to
// wait for.
Coordinator::~Coordinator() {
  parts_->watch.Stop();
  if (parts_->leader_loop != nullptr) parts_->leader_loop->Stop();
  parts_->leadership.End();
  if (parts_->server != nullptr) parts_->server->Shutdown();
}

}  // namespace paramo
