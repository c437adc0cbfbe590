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
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/transport/address.h"
#include "common/transport/completion.h"
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
  std::unique_ptr<grpc::Server> server;

  absl::StatusOr<std::vector<int>> Listen();
  void Accept();
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
                                        {{"reason", "write_timeout"}})) {}

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
  PARAMO_ASSIGN_OR_RETURN(std::vector<int> ports, impl->Listen());
  impl->Accept();
  auto server = std::unique_ptr<DataServer>(new DataServer(std::move(impl)));
  server->ports_ = std::move(ports);
  return server;
}

// Makes everything but the threads; returns the ports.
absl::StatusOr<std::vector<int>> DataServer::Impl::Listen() {
  if (options.listen.empty())
    return absl::InvalidArgumentError("no address to listen on");
  counters = std::make_unique<StreamCounters>(
      options.metrics != nullptr ? *options.metrics : unseen);

  grpc::ServerBuilder builder;
  ApplyServerSettings(builder, options.message_bytes_max,
                      options.handshake_timeout);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();  // link it
  if (!options.reflection) builder.SetOption(std::make_unique<NoReflection>());
  grpc::ResourceQuota quota("paramo");
  builder.SetResourceQuota(quota.Resize(options.receive_bytes_max));
  std::vector<int> ports(options.listen.size(), 0);
  for (size_t i = 0; i < ports.size(); ++i) {
    PARAMO_RETURN_IF_ERROR(ParseAddress(options.listen[i]).status());
    builder.AddListeningPort(options.listen[i],
                             grpc::InsecureServerCredentials(), &ports[i]);
  }
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
  if (server != nullptr) return ports;

  for (const auto& loop : loops) {  // gRPC wants its queues emptied
    loop->queue->Shutdown();
    void* tag;
    bool ok;
    while (loop->queue->Next(&tag, &ok)) continue;
  }
  return absl::UnavailableError(absl::StrCat(
      "cannot listen on ", absl::StrJoin(options.listen, ", "),
      "; is another process using the port? Port 0 takes a free one"));
}

void DataServer::Impl::Accept() {
  for (size_t i = 0; i < loops.size(); ++i) {
    ServerLoop& loop = *loops[i];
    AcceptStream(loop);
    AcceptUnary(loop, DataMethod::kPush);
    AcceptUnary(loop, DataMethod::kPull);
    AcceptUnary(loop, DataMethod::kPushPull);
    loop.thread = std::thread([this, &loop, i] { Run(loop, i); });
  }
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
