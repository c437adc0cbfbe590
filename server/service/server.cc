#include "server/service/server.h"

#include <grpcpp/impl/service_type.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/clock/clock.h"
#include "common/config/value.h"
#include "common/mem/budget.h"
#include "common/metrics/metrics.h"
#include "common/metrics/metrics_http.h"
#include "common/transport/data_server.h"
#include "common/transport/shm_lanes.h"
#include "common/transport/state_watch.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "server/admin/admin_service.h"
#include "server/service/coordinator_link.h"
#include "server/service/data_service.h"
#include "server/service/peer_links.h"
#include "server/service/peer_service.h"
#include "server/service/replica_io.h"
#include "server/service/report_board.h"
#include "server/service/server_log.h"
#include "server/service/shard_host.h"
#include "server/service/stored_rows.h"
#include "server/store/data_dir.h"
#include "server/store/meta_store.h"
#include "server/store/row_store.h"
#include "server/store/write_behind.h"

namespace paramo {
namespace {

// How long an orderly stop may take to store what is dirty.
constexpr absl::Duration kFlushTimeout = absl::Minutes(2);
std::map<uint32_t, std::string> AddressesOf(const v1::ClusterState& state) {
  std::map<uint32_t, std::string> addresses;
  for (const v1::Server& server : state.servers()) {
    addresses[server.id()] = server.address();
  }
  return addresses;
}

// How long open calls may take to end by themselves.
constexpr absl::Duration kDrainTime = absl::Milliseconds(500);

// Without its promises a server must not be taken for the one that made them
// (rule 3.5), so it comes back as another one, without data.
absl::Status WithWayOut(const absl::Status& opened, const std::string& dir) {
  if (!absl::IsDataLoss(opened)) return opened;
  return absl::DataLossError(absl::StrCat(
      opened.message(),
      ". This server cannot know any more what it promised, "
      "and must not go on as the one it was. Bring it back as a new, empty "
      "one:\n  mv ",
      dir, " ", dir,
      ".damaged\nand start it again as before: "
      "it gets shards from the servers that have them. What no other server "
      "has (`paramo shard list`: offline) is only in ",
      dir, ".damaged; keep that until all is served"));
}

}  // namespace

// In order of construction; destroyed in reverse.
struct Server::Parts {
  Parts(ServerOptions o, std::function<void(absl::Status)> fatal)
      : options(std::move(o)), on_fatal(std::move(fatal)) {}

  absl::Status OpenStores();
  absl::Status OpenLog();
  absl::Status ProveIncarnation(const LogRecovery& recovery);
  void OfferShm();
  absl::Status Listen();
  absl::Status Join();
  void OnState(std::shared_ptr<const v1::ClusterState> state);
  void FillHeartbeat(v1::HeartbeatRequest& beat);
  uint64_t VersionInForce() const;
  void ExportGauges();
  ServerIdentity Identity() {
    MutexLock lock(mu);
    return identity;
  }

  const ServerOptions options;
  const std::function<void(absl::Status)> on_fatal;
  SteadyClock clock;
  MetricsRegistry metrics;
  ShardCounters counters{metrics};
  Budget held{options.held_bytes_max};
  Budget replies{options.reply_bytes_max};
  std::unique_ptr<DataDir> data_dir;
  std::unique_ptr<MetaStore> meta;
  std::unique_ptr<RowStore> rows;
  std::unique_ptr<ServerLog> log;
  std::unique_ptr<ReplicaIo> replica_io;
  ReportBoard reports{[this] {
    if (link != nullptr) link->BeatNow();
  }};
  PeerLinks links{/*threads=*/1};
  std::unique_ptr<ShardHost> shards;
  std::unique_ptr<WriteBehind> write_behind;
  std::unique_ptr<DataService> data_service;
  std::unique_ptr<PeerService> peer_service;
  StateWatch state_watch;
  std::unique_ptr<grpc::Service> admin;
  std::unique_ptr<MetricsHttp> metrics_http;
  std::unique_ptr<ShmLanes> shm;
  std::unique_ptr<DataServer> data_server;
  std::unique_ptr<CoordinatorLink> link;
  std::vector<MetricsRegistry::Token> gauges;
  uint64_t continues = 0;  // as in CoordinatorLink::Options
  std::string address;

  Mutex mu;
  CondVar changed;
  // Set when the coordinator has taken this server; a peer may speak first.
  ServerIdentity identity ABSL_GUARDED_BY(mu);
  bool ready ABSL_GUARDED_BY(mu) = false;
};

absl::Status Server::Parts::OpenStores() {
  PARAMO_ASSIGN_OR_RETURN(data_dir, DataDir::Open({options.data_dir, 0, 0}));
  // A server that has joined a cluster has had both before.
  const bool fresh = data_dir->cluster_id() == 0;
  auto opened = MetaStore::Open(options.data_dir, fresh);
  PARAMO_RETURN_IF_ERROR(WithWayOut(opened.status(), data_dir->path()));
  meta = *std::move(opened);
  RowStoreOptions store;
  store.create = fresh;
  PARAMO_ASSIGN_OR_RETURN(StoredRows stored,
                          OpenStoredRows(options.data_dir, store, *meta));
  rows = std::move(stored.store);
  shards = std::make_unique<ShardHost>(*rows, std::move(stored.shards), *meta,
                                       clock, counters, [this] {
                                         if (CoordinatorLink* to = link.get())
                                           to->BeatNow();
                                       });
  WriteBehindOptions flush;
  flush.log_bytes_high = options.flush_log_bytes;
  flush.interval = options.flush_interval;
  flush.before_ingest = [this] { return log->Sync(); };
  write_behind = std::make_unique<WriteBehind>(*rows, clock, flush);
  // A new server has no identity to put into its log yet.
  return fresh ? absl::OkStatus() : OpenLog();
}

absl::Status Server::Parts::OpenLog() {
  LogOptions opening;
  opening.path = absl::StrCat(options.data_dir, "/log");
  opening.cluster_id = data_dir->cluster_id();
  opening.server_id = data_dir->server_id();
  opening.incarnation = data_dir->incarnation();
  opening.keep_all = options.keep_log;
  opening.buffer_bytes = options.log_buffer_bytes;
  opening.released = shards->StoredLsns();
  PARAMO_ASSIGN_OR_RETURN(std::unique_ptr<Log> opened, Log::Open(opening));
  log = std::make_unique<ServerLog>(
      std::move(opened), options.threads,
      [this](absl::Status status) { on_fatal(std::move(status)); });
  PARAMO_RETURN_IF_ERROR(ProveIncarnation(log->recovery()));
  replica_io = std::make_unique<ReplicaIo>(
      *meta, *rows, log->log(), links,
      [this](absl::Status status) { on_fatal(status); });
  shards->SetWorld(*log, links, *replica_io, reports);
  return absl::OkStatus();
}

// Rule 3.4: an incarnation survives a restart only with proof that nothing
// acknowledged can be missing.
absl::Status Server::Parts::ProveIncarnation(const LogRecovery& recovery) {
  if (!recovery.cut().empty()) LogInfo("log: %s", recovery.cut());
  for (const std::string& corruption : recovery.corruptions()) {
    LogError("log: %s", corruption);
  }
  const bool kept_by_kernel =
      data_dir->same_boot() && shards->LogHoldsEverything();
  PARAMO_ASSIGN_OR_RETURN(const std::vector<ShardId> damaged,
                          shards->Damaged(recovery));
  const bool proven = data_dir->last_stop_was_clean() || kept_by_kernel;
  if (proven && recovery.corruptions().empty() && damaged.empty()) {
    return absl::OkStatus();
  }
  if (proven) continues = data_dir->incarnation();
  LogWarning(
      "pushes that the last run acknowledged may be missing%s: this server "
      "goes on as another incarnation",
      proven ? " from damaged shards" : ", for it did not stop cleanly");
  return data_dir->EndIncarnation();
}

// Clients that get no shared memory, for whatever reason, use gRPC.
void Server::Parts::OfferShm() {
  if (!options.shm) return;
  ShmLanes::Options lanes;
  lanes.directory = std::filesystem::absolute(options.data_dir) / "shm";
  auto started = ShmLanes::Start(lanes, metrics);
  if (!started.ok())
    return LogWarning("no shared memory with clients: %s",
                      ToString(started.status()));
  shm = *std::move(started);
  data_service->OfferShm(shm->directory(), shm->token());
}

absl::Status Server::Parts::Listen() {
  data_service =
      std::make_unique<DataService>(clock, held, replies, metrics, counters);
  peer_service = std::make_unique<PeerService>(*shards, metrics);
  admin = MakeAdminService(
      metrics, [this](const auto& read) { shards->ForEachShard(read); });

  OfferShm();
  DataServer::Options listening;
  listening.listen = {options.listen};
  listening.threads = options.threads;
  listening.handler = [this](std::unique_ptr<IncomingCall> call) {
    if (call->method() == DataMethod::kReplicate && !call->first()) {
      peer_service->Handle(std::move(call));
    } else {
      data_service->Handle(std::move(call));
    }
  };
  listening.services = {admin.get(), state_watch.service()};
  listening.reflection = options.reflection;
  listening.connections.per_peer = options.connections_per_peer_max;
  listening.receive_bytes_max = options.receive_bytes_max;
  listening.shm = shm.get();
  listening.tcp_congestion = options.tcp_congestion;
  listening.metrics = &metrics;
  PARAMO_ASSIGN_OR_RETURN(data_server, DataServer::Start(std::move(listening)));
  PARAMO_ASSIGN_OR_RETURN(HostPort host, ParseHostPort(options.listen));
  address = options.advertise.empty()
                ? absl::StrCat(host.host, ":", data_server->port())
                : options.advertise;

  PARAMO_ASSIGN_OR_RETURN(HostPort page, ParseHostPort(options.metrics_listen));
  MetricsHttp::Options http;
  http.host = page.host;
  http.port = page.port;
  http.registry = &metrics;
  http.health = [this] {
    MutexLock lock(mu);
    return ready ? absl::OkStatus()
                 : absl::UnavailableError("no cluster state yet");
  };
  PARAMO_ASSIGN_OR_RETURN(metrics_http, MetricsHttp::Start(std::move(http)));
  ExportGauges();
  return absl::OkStatus();
}

void Server::Parts::ExportGauges() {
  auto gauge = [this](const char* name, const char* help,
                      std::function<double()> read) {
    gauges.push_back(metrics.AddGaugeFunction(name, help, {}, std::move(read)));
  };
  gauge("paramo_held_bytes", "Memory held by requests, by backing slice",
        [this] { return static_cast<double>(held.held()); });
  gauge("paramo_reply_bytes", "Memory of replies begun and not handed over",
        [this] { return static_cast<double>(replies.held()); });
  gauge("paramo_dirty_rows", "Rows that the store does not have yet", [this] {
    return static_cast<double>(write_behind->Stats().dirty_rows);
  });
  gauge("paramo_flush_failures", "Rounds of write-behind that failed",
        [this] { return static_cast<double>(write_behind->Stats().failures); });
  gauge("paramo_flushed_rows", "Rows stored since the start",
        [this] { return static_cast<double>(write_behind->Stats().rows); });
  gauge("paramo_store_bytes", "Bytes of row files",
        [this] { return static_cast<double>(rows->Stats().bytes); });
  gauge("paramo_log_bytes", "Bytes of log segments on disk", [this] {
    return log == nullptr ? 0.0
                          : static_cast<double>(log->Stats().segment_bytes);
  });
  gauge("paramo_log_buffered_bytes", "Bytes of records not written yet",
        [this] {
          return log == nullptr
                     ? 0.0
                     : static_cast<double>(log->Stats().buffered_bytes);
        });
}

absl::Status Server::Parts::Join() {
  CoordinatorLink::Options joining;
  joining.coordinators = options.coordinators;
  joining.address = address;
  joining.metrics_address = absl::StrCat("127.0.0.1:", metrics_http->port());
  joining.incarnation = data_dir->incarnation();
  joining.cluster_id = data_dir->cluster_id();
  joining.server_id = data_dir->server_id();
  joining.continues = continues;
  if (log != nullptr) {
    PARAMO_ASSIGN_OR_RETURN(joining.damaged_shards,
                            shards->Damaged(log->recovery()));
  }
  link = std::make_unique<CoordinatorLink>(std::move(joining));
  PARAMO_ASSIGN_OR_RETURN(CoordinatorLink::Registration me,
                          link->Register(options.register_timeout));
  PARAMO_RETURN_IF_ERROR(data_dir->Adopt(me.cluster_id, me.server_id));
  if (log == nullptr) PARAMO_RETURN_IF_ERROR(OpenLog());
  const ServerIdentity self = {me.cluster_id, me.cluster_incarnation,
                               me.server_id, data_dir->incarnation()};
  peer_service->Start(self, *replica_io);  // before a Hello is answered
  data_service->SetIdentity(self);
  links.SetIdentity(self);
  {
    MutexLock lock(mu);
    identity = self;
  }
  link->Start(
      [this](std::shared_ptr<const v1::ClusterState> state) {
        OnState(std::move(state));
      },
      [this](v1::HeartbeatRequest& beat) { FillHeartbeat(beat); });
  return absl::OkStatus();
}

// Of the newest state that the shards keep to and that requests are routed by.
// Who has made a table waits for it, then uses the table.
uint64_t Server::Parts::VersionInForce() const {
  const auto routing = data_service->view();
  return routing == nullptr
             ? 0
             : std::min(routing->version, shards->VersionInForce());
}

// On the link's beating thread.
void Server::Parts::FillHeartbeat(v1::HeartbeatRequest& beat) {
  // Before the rounds: who sees the version sees the rounds that go with it.
  beat.set_applied_version(VersionInForce());
  beat.set_data_progress(data_service->progress() + peer_service->progress());
  for (const auto& [job, round] : shards->OpenRounds()) {
    v1::JobClock& clock = *beat.add_jobs();
    clock.set_job(job);
    clock.set_open_round(round);
  }
  for (const ReplicaReport& report : reports.Take()) {
    v1::ReplicaReport& out = *beat.add_replicas();
    out.set_kind(static_cast<v1::ReplicaReport::Kind>(
        static_cast<int>(report.kind) + 1));
    out.set_shard(report.shard);
    out.set_epoch(report.epoch);
    out.mutable_peer()->set_server(report.peer.server);
    out.mutable_peer()->set_incarnation(report.peer.incarnation);
    out.set_last_epoch(report.last_epoch);
    out.set_last_lsn(report.last_lsn);
  }
}

// On the link's watching thread. The order matters: a shard serves a state
// before the service routes by it, and both before it is reported applied.
void Server::Parts::OnState(std::shared_ptr<const v1::ClusterState> state) {
  auto view = MakeClusterView(state);
  absl::Status applied = view.status();
  if (view.ok()) {
    links.SetAddresses(AddressesOf(*state));
    const ServerIdentity self = Identity();
    applied = shards->Apply(*view, {self.server_id, self.incarnation});
  }
  if (!applied.ok()) {
    on_fatal(Annotate(applied, "applying the cluster state"));
    return;
  }
  std::vector<Shard*> all = shards->shards();
  bool first = data_service->view() == nullptr;
  data_service->SetView(*std::move(view), all);
  if (first) {
    for (Shard* shard : all) write_behind->Add(shard);
  }
  const uint64_t version = state->version();
  state_watch.Publish(std::move(state));
  {
    MutexLock lock(mu);
    ready = true;
    changed.NotifyAll();
  }
  if (VersionInForce() == version) link->BeatNow();
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  if (parts_ == nullptr) return;
  absl::Status stopped = Stop();
  if (!stopped.ok()) LogError("stopping: %s", ToString(stopped));
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    ServerOptions options, std::function<void(absl::Status)> on_fatal) {
  auto server = std::unique_ptr<Server>(new Server(
      std::make_unique<Parts>(std::move(options), std::move(on_fatal))));
  absl::Status status = server->parts_->OpenStores();
  if (status.ok()) status = server->parts_->Listen();
  if (status.ok()) status = server->parts_->Join();
  if (!status.ok()) {
    server->Stop().IgnoreError();
    return status;
  }
  return server;
}

std::string Server::address() const { return parts_->address; }

std::string Server::metrics_address() const {
  auto host = ParseHostPort(parts_->options.metrics_listen);
  return absl::StrCat(host.ok() ? host->host : "", ":",
                      parts_->metrics_http->port());
}

bool Server::WaitUntilReady(absl::Duration timeout) {
  absl::Duration deadline = parts_->clock.Now() + timeout;
  MutexLock lock(parts_->mu);
  while (!parts_->ready) {
    absl::Duration left = deadline - parts_->clock.Now();
    if (left <= absl::ZeroDuration()) return false;
    parts_->changed.WaitFor(parts_->mu, left);
  }
  return true;
}

absl::Status Server::Stop() {
  std::unique_ptr<Parts> parts = std::move(parts_);
  if (parts == nullptr) return absl::OkStatus();
  if (parts->data_server != nullptr) parts->data_server->SetServing(false);
  if (parts->link != nullptr) parts->link->Stop(/*leaving=*/true);
  if (parts->shards != nullptr) parts->shards->StopServing();
  parts->state_watch.Stop();
  if (parts->data_server != nullptr) parts->data_server->Shutdown(kDrainTime);

  if (parts->write_behind == nullptr) return absl::OkStatus();  // never opened
  // Rows follow the log to the disk: without it there is nothing to wait for,
  // and the sooner the process ends, the sooner it is started again.
  absl::Status stored;
  if (parts->log != nullptr) stored = parts->log->failure();
  if (stored.ok()) stored = parts->write_behind->FlushAll(kFlushTimeout);
  parts->write_behind->Stop();
  parts->gauges.clear();
  parts->write_behind.reset();
  parts->links.Stop();
  if (parts->replica_io != nullptr) parts->replica_io->Stop();
  absl::Status logged;
  if (parts->log != nullptr) logged = parts->log->Stop();
  if (stored.ok()) stored = logged;
  parts->shards.reset();
  parts->log.reset();
  parts->rows.reset();
  parts->meta.reset();
  if (!stored.ok()) return Annotate(stored, "storing rows at the stop");
  return parts->data_dir->MarkClean();
}

}  // namespace paramo
