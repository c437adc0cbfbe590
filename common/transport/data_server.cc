#include "common/transport/data_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <pthread.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/transport/acceptor.h"
#include "common/transport/address.h"
#include "common/transport/completion.h"
#include "common/transport/listen.h"
#include "common/transport/server_internal.h"
#include "common/transport/settings.h"

namespace paramo {
namespace {

// How often a loop looks for streams that take nothing; also how late, at
// most, it finds one.
constexpr absl::Duration kSweepPeriod = absl::Seconds(1);

constexpr char kEndedName[] = "paramo_streams_ended_total";
constexpr char kEndedHelp[] = "Streams that this side ended, by reason.";

// Linking the library that has reflection turns it on for every server of the
// process; this takes it out of one again.
class NoReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    const auto is_reflection = [](const auto& plugin) {
      return plugin->name() == "proto_server_reflection";
    };
    plugins->erase(
        std::remove_if(plugins->begin(), plugins->end(), is_reflection),
        plugins->end());
  }
};

}  // namespace

struct DataServer::Impl {
  Options options;
  RawDataService service;
  LiveCalls live;
  MetricsRegistry unseen;  // used when the options name none
  std::unique_ptr<StreamCounters> counters;
  std::atomic<size_t> stream_count{0};
  std::vector<std::unique_ptr<ServerLoop>> loops;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> external;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<Acceptor> acceptor;  // stops before the server does

  absl::StatusOr<std::vector<int>> OpenPorts();
  absl::Status Build();
  absl::Status Accept();
  void Run(ServerLoop& loop, size_t index);

  Mutex mu;
  bool stopped ABSL_GUARDED_BY(mu) = false;
};

StreamCounters::StreamCounters(MetricsRegistry& registry)
    : open(registry.AddGauge("paramo_streams", "Data streams open now.")),
      refused(
          registry.AddCounter(kEndedName, kEndedHelp, {{"reason", "refused"}})),
      unsent_bytes(registry.AddCounter(kEndedName, kEndedHelp,
                                       {{"reason", "unsent_bytes"}})),
      write_timeout(registry.AddCounter(kEndedName, kEndedHelp,
                                        {{"reason", "write_timeout"}})),
      damaged(registry.AddCounter(kEndedName, kEndedHelp,
                                  {{"reason", "damaged"}})) {}

DataServer::DataServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

DataServer::~DataServer() { Shutdown(); }

size_t DataServer::streams() const {
  return impl_->stream_count.load(std::memory_order_relaxed);
}

void DataServer::SetServing(bool serving) {
  impl_->server->GetHealthCheckService()->SetServingStatus(serving);
}

absl::StatusOr<std::unique_ptr<DataServer>> DataServer::Start(Options options) {
  KeepGrpcInitialised();
  grpc::EnableDefaultHealthCheckService(true);
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  PARAMO_ASSIGN_OR_RETURN(std::vector<int> ports, impl->OpenPorts());
  PARAMO_RETURN_IF_ERROR(impl->Build());
  auto server = std::unique_ptr<DataServer>(new DataServer(std::move(impl)));
  server->ports_ = std::move(ports);
  PARAMO_RETURN_IF_ERROR(server->impl_->Accept());
  return server;
}

absl::StatusOr<std::vector<int>> DataServer::Impl::OpenPorts() {
  if (options.listen.empty())
    return absl::InvalidArgumentError("no address to listen on");
  SocketOptions socket_options;
  socket_options.congestion = options.tcp_congestion;
  std::vector<Listening> listening;
  std::vector<int> ports;
  for (const std::string& listen : options.listen) {
    PARAMO_ASSIGN_OR_RETURN(Address address, ParseAddress(listen));
    PARAMO_ASSIGN_OR_RETURN(Listening one, Listen(address, socket_options));
    ports.push_back(one.port);
    listening.push_back(std::move(one));
  }
  MetricsRegistry& metrics =
      options.metrics != nullptr ? *options.metrics : unseen;
  counters = std::make_unique<StreamCounters>(metrics);
  acceptor = std::make_unique<Acceptor>(
      std::move(listening), WithinDescriptors(options.connections), metrics);
  return ports;
}

// Makes gRPC's server, which takes connections from the acceptor only.
absl::Status DataServer::Impl::Build() {
  grpc::ServerBuilder builder;
  ApplyServerSettings(builder, options.message_bytes_max,
                      options.handshake_timeout);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();  // link it
  if (!options.reflection) builder.SetOption(std::make_unique<NoReflection>());
  grpc::ResourceQuota quota("paramo");
  builder.SetResourceQuota(quota.Resize(options.receive_bytes_max));
  external = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
  for (grpc::Service* service : options.services)
    builder.RegisterService(service);
  if (options.handler) {
    builder.RegisterService(&service);
    for (int i = 0; i < options.threads; ++i)
      loops.push_back(std::unique_ptr<ServerLoop>(
          new ServerLoop{options,
                         service,
                         live,
                         *counters,
                         stream_count,
                         builder.AddCompletionQueue(),
                         std::thread(),
                         {}}));
  }
  server = builder.BuildAndStart();
  if (server != nullptr) return absl::OkStatus();

  for (const auto& loop : loops) {  // gRPC wants its queues emptied
    loop->queue->Shutdown();
    void* tag;
    bool ok;
    while (loop->queue->Next(&tag, &ok)) continue;
  }
  return absl::InternalError("gRPC cannot start a server");
}

absl::Status DataServer::Impl::Accept() {
  for (size_t i = 0; i < loops.size(); ++i) {
    ServerLoop& loop = *loops[i];
    AcceptStream(loop, DataMethod::kStream);
    AcceptStream(loop, DataMethod::kReplicate);
    AcceptUnary(loop, DataMethod::kPush);
    AcceptUnary(loop, DataMethod::kPull);
    AcceptUnary(loop, DataMethod::kPushPull);
    loop.thread = std::thread([this, &loop, i] { Run(loop, i); });
  }
  return acceptor->Start([this](int listener, int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters
        connection;
    connection.listener_fd = listener;
    connection.fd = fd;
    external->HandleNewConnection(&connection);
  });
}

void DataServer::Impl::Run(ServerLoop& loop, size_t index) {
  pthread_setname_np(pthread_self(), absl::StrCat("data-", index).c_str());
  absl::Time next_sweep = absl::Now() + kSweepPeriod;
  for (;;) {
    void* tag;
    bool ok;
    const auto event =
        loop.queue->AsyncNext(&tag, &ok, absl::ToChronoTime(next_sweep));
    if (event == grpc::CompletionQueue::SHUTDOWN) return;
    if (event == grpc::CompletionQueue::GOT_EVENT)
      static_cast<Completion*>(tag)->Complete(ok);
    if (absl::Now() < next_sweep) continue;
    SweepStreams(loop);
    next_sweep = absl::Now() + kSweepPeriod;
  }
}

void DataServer::Shutdown(absl::Duration grace) {
  {
    MutexLock lock(impl_->mu);
    if (std::exchange(impl_->stopped, true)) return;
  }
  // First, because gRPC forgets, unclosed, what it is handed once it stops.
  impl_->acceptor->Stop();
  // Cancels what is open after `grace`; then every outstanding operation comes
  // back, and only when the last call is gone may the queues go.
  impl_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  impl_->live.WaitForNone();
  for (const auto& loop : impl_->loops) {
    loop->queue->Shutdown();
    loop->thread.join();
  }
}

}  // namespace paramo
