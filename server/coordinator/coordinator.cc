// The composition root: chooses the store, the clock and the ports, and puts
// the parts together.
#include "server/coordinator/coordinator.h"

#include <grpcpp/impl/service_type.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
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
#include "server/coordinator/service.h"

namespace paramo {
namespace {

absl::Status MakeDataDir(const std::string& path) {
  if (path.empty()) {
    return absl::InvalidArgumentError(
        "no data directory; give --data-dir DIR, where the cluster's state "
        "is kept");
  }
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("data directory ", path, ": ", error.message()));
}

}  // namespace

// In order of construction; destroyed in reverse.
struct Coordinator::Parts {
  SteadyClock clock;
  AwakeTime time{clock};
  MetricsRegistry metrics;
  Liveness liveness;
  StateWatch watch;
  std::unique_ptr<KvStore> kv;
  std::unique_ptr<Core> core;
  std::unique_ptr<Loop> loop;
  std::unique_ptr<grpc::Service> coordinator_service;
  std::unique_ptr<grpc::Service> stats_service;
  std::unique_ptr<DataServer> server;
  MetricsRegistry::Token up_gauge;
  MetricsRegistry::Token version_gauge;
  std::unique_ptr<MetricsHttp> metrics_http;

  absl::Status OpenCore(const CoordinatorOptions& options);
  absl::StatusOr<std::string> Serve(const CoordinatorOptions& options);
  absl::StatusOr<std::string> ServeMetrics(const CoordinatorOptions& options);
};

absl::Status Coordinator::Parts::OpenCore(const CoordinatorOptions& options) {
  PARAMO_RETURN_IF_ERROR(MakeDataDir(options.data_dir));
  EmbeddedKvOptions kv_options;
  kv_options.path = options.data_dir + "/store";
  kv_options.clock = &clock;
  PARAMO_ASSIGN_OR_RETURN(kv, OpenEmbeddedKv(kv_options));

  CoreOptions core_options;
  core_options.shards = options.shards;
  core_options.servers_expected = options.servers_expected;
  core_options.replicas = options.replicas;
  core_options.rule_check = options.rule_check;
  auto publish = [this](std::shared_ptr<const v1::ClusterState> state) {
    watch.Publish(std::move(state));
  };
  PARAMO_ASSIGN_OR_RETURN(
      core, Core::Open(core_options, *kv, liveness, time.Now(), publish));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Coordinator::Parts::Serve(
    const CoordinatorOptions& options) {
  PARAMO_ASSIGN_OR_RETURN(Address address, ParseAddress(options.listen));
  loop = std::make_unique<Loop>(*core, time, options.on_failed);
  coordinator_service =
      MakeCoordinatorService({*loop, *core, liveness, time, watch, metrics});
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
  address.port = server->port();
  return address.ToString();
}

absl::StatusOr<std::string> Coordinator::Parts::ServeMetrics(
    const CoordinatorOptions& options) {
  up_gauge = metrics.AddGaugeFunction(
      "paramo_coordinator_servers_up", "Servers with a sign of life.", {},
      [this] { return static_cast<double>(liveness.Count()); });
  version_gauge = metrics.AddGaugeFunction(
      "paramo_coordinator_state_version", "Version of the cluster state.", {},
      [this] { return static_cast<double>(watch.state()->version()); });
  if (options.metrics_listen.empty()) return std::string();
  PARAMO_ASSIGN_OR_RETURN(Address address,
                          ParseAddress(options.metrics_listen));
  MetricsHttp::Options http;
  http.host = address.host == "localhost" ? "127.0.0.1" : address.host;
  http.port = address.port;
  http.registry = &metrics;
  PARAMO_ASSIGN_OR_RETURN(metrics_http, MetricsHttp::Start(std::move(http)));
  address.port = metrics_http->port();
  return address.ToString();
}

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Start(
    CoordinatorOptions options) {
  if (!options.on_failed) options.on_failed = [](const absl::Status&) {};
  PARAMO_RETURN_IF_ERROR(CheckListen(options.listen, options.insecure_listen));
  PARAMO_RETURN_IF_ERROR(
      CheckListen(options.metrics_listen, options.insecure_listen));
  // Made first: whatever fails below, its destructor stops what has started.
  std::unique_ptr<Coordinator> coordinator(
      new Coordinator(std::make_unique<Parts>()));
  Parts& parts = *coordinator->parts_;
  PARAMO_RETURN_IF_ERROR(parts.OpenCore(options));
  PARAMO_ASSIGN_OR_RETURN(coordinator->address_, parts.Serve(options));
  PARAMO_ASSIGN_OR_RETURN(coordinator->metrics_address_,
                          parts.ServeMetrics(options));
  return coordinator;
}

Coordinator::Coordinator(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)) {}

// Watches and waiting calls end first; the server then has nothing left to
// wait for.
Coordinator::~Coordinator() {
  parts_->watch.Stop();
  if (parts_->loop != nullptr) parts_->loop->Stop();
  if (parts_->server != nullptr) parts_->server->Shutdown();
}

}  // namespace paramo
