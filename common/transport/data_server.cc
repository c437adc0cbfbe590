#include "common/transport/data_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <pthread.h>

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

}  // namespace

struct DataServer::Impl {
  Options options;
  RawDataService service;
  LiveCalls live;
  std::atomic<size_t> stream_count{0};
  std::vector<std::unique_ptr<ServerLoop>> loops;
  std::unique_ptr<grpc::Server> server;

  void Run(ServerLoop& loop, size_t index);

  Mutex mu;
  bool stopped ABSL_GUARDED_BY(mu) = false;
};

DataServer::DataServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

DataServer::~DataServer() { Shutdown(); }

size_t DataServer::streams() const {
  return impl_->stream_count.load(std::memory_order_relaxed);
}

void DataServer::SetServing(bool serving) {
  impl_->server->GetHealthCheckService()->SetServingStatus(serving);
}

absl::StatusOr<std::unique_ptr<DataServer>> DataServer::Start(
    Options options) {
  KeepGrpcInitialised();
  grpc::EnableDefaultHealthCheckService(true);
  if (options.reflection)
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  const Options& o = impl->options;
  if (o.listen.empty())
    return absl::InvalidArgumentError("no address to listen on");

  grpc::ServerBuilder builder;
  ApplyServerSettings(builder, o.message_bytes_max, o.handshake_timeout);
  std::vector<int> ports(o.listen.size(), 0);
  for (size_t i = 0; i < o.listen.size(); ++i) {
    PARAMO_RETURN_IF_ERROR(ParseAddress(o.listen[i]).status());
    builder.AddListeningPort(o.listen[i], grpc::InsecureServerCredentials(),
                             &ports[i]);
  }
  for (grpc::Service* service : o.services) builder.RegisterService(service);
  if (o.handler) {
    builder.RegisterService(&impl->service);
    for (int i = 0; i < o.threads; ++i)
      impl->loops.push_back(std::unique_ptr<ServerLoop>(new ServerLoop{
          impl->options, impl->service, impl->live, impl->stream_count,
          builder.AddCompletionQueue(), std::thread(), {}}));
  }
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr) {
    for (const auto& loop : impl->loops) {
      loop->queue->Shutdown();
      void* tag;
      bool ok;
      while (loop->queue->Next(&tag, &ok)) continue;
    }
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", absl::StrJoin(o.listen, ", "),
        "; is another process using the port? Port 0 takes a free one"));
  }

  for (size_t i = 0; i < impl->loops.size(); ++i) {
    ServerLoop& loop = *impl->loops[i];
    AcceptStream(loop);
    AcceptUnary(loop, DataMethod::kPush);
    AcceptUnary(loop, DataMethod::kPull);
    AcceptUnary(loop, DataMethod::kPushPull);
    loop.thread = std::thread([impl = impl.get(), &loop, i] {
      impl->Run(loop, i);
    });
  }
  auto server = std::unique_ptr<DataServer>(new DataServer(std::move(impl)));
  server->ports_ = std::move(ports);
  return server;
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
