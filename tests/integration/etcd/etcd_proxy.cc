#include "tests/integration/etcd/etcd_proxy.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/transport/settings.h"
#include "etcd/etcd.grpc.pb.h"

namespace paramo::test {
namespace {

namespace pb = etcdserverpb;

// What all services of one proxy share.
struct State {
  std::shared_ptr<grpc::Channel> channel;
  std::atomic<bool> silent{false};
  std::atomic<uint64_t> cluster{0};
  std::atomic<int64_t> back{0};
  mutable Mutex mu;
  std::vector<EtcdFault> faults ABSL_GUARDED_BY(mu);
  std::map<std::string, int> calls ABSL_GUARDED_BY(mu);

  std::optional<EtcdFault> TakeFault(const std::string& method) {
    MutexLock lock(mu);
    ++calls[method];
    for (EtcdFault& fault : faults) {
      if (fault.method == method && fault.calls > 0) {
        --fault.calls;
        return fault;
      }
    }
    return std::nullopt;
  }

  template <typename Response>
  void Disguise(Response* response) const {
    pb::ResponseHeader& header = *response->mutable_header();
    if (cluster.load() != 0) header.set_cluster_id(cluster.load());
    header.set_revision(header.revision() - back.load());
  }

  // Answers one unary call by `call`, or as the fault says.
  template <typename Response, typename Call>
  grpc::Status Unary(const std::string& method, Response* response, Call call) {
    std::optional<EtcdFault> fault = TakeFault(method);
    if (fault.has_value()) absl::SleepFor(fault->delay);
    grpc::Status status;
    if (!fault.has_value() || fault->forward) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() +
                           std::chrono::seconds(10));
      status = call(&context);
      Disguise(response);
    }
    if (!fault.has_value()) return status;
    return grpc::Status(static_cast<grpc::StatusCode>(fault->code),
                        fault->message);
  }
};

class KvProxy final : public pb::KV::Service {
 public:
  explicit KvProxy(State& state) : state_(state), stub_(state.channel) {}
  grpc::Status Range(grpc::ServerContext*, const pb::RangeRequest* request,
                     pb::RangeResponse* response) override {
    return state_.Unary("Range", response, [&](grpc::ClientContext* context) {
      return stub_.Range(context, *request, response);
    });
  }
  grpc::Status Txn(grpc::ServerContext*, const pb::TxnRequest* request,
                   pb::TxnResponse* response) override {
    return state_.Unary("Txn", response, [&](grpc::ClientContext* context) {
      return stub_.Txn(context, *request, response);
    });
  }
  grpc::Status Compact(grpc::ServerContext*,
                       const pb::CompactionRequest* request,
                       pb::CompactionResponse* response) override {
    return state_.Unary("Compact", response, [&](grpc::ClientContext* context) {
      return stub_.Compact(context, *request, response);
    });
  }

 private:
  State& state_;
  pb::KV::Stub stub_;
};

class LeaseProxy final : public pb::Lease::Service {
 public:
  explicit LeaseProxy(State& state) : state_(state), stub_(state.channel) {}
  grpc::Status LeaseGrant(grpc::ServerContext*,
                          const pb::LeaseGrantRequest* request,
                          pb::LeaseGrantResponse* response) override {
    return state_.Unary("LeaseGrant", response, [&](grpc::ClientContext* c) {
      return stub_.LeaseGrant(c, *request, response);
    });
  }
  grpc::Status LeaseRevoke(grpc::ServerContext*,
                           const pb::LeaseRevokeRequest* request,
                           pb::LeaseRevokeResponse* response) override {
    return state_.Unary("LeaseRevoke", response, [&](grpc::ClientContext* c) {
      return stub_.LeaseRevoke(c, *request, response);
    });
  }
  grpc::Status LeaseKeepAlive(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<pb::LeaseKeepAliveResponse,
                               pb::LeaseKeepAliveRequest>* stream) override {
    pb::LeaseKeepAliveRequest request;
    while (stream->Read(&request)) {
      pb::LeaseKeepAliveResponse response;
      grpc::Status status = state_.Unary(
          "LeaseKeepAlive", &response, [&](grpc::ClientContext* context) {
            auto up = stub_.LeaseKeepAlive(context);
            up->Write(request);
            up->WritesDone();
            up->Read(&response);
            return up->Finish();
          });
      if (!status.ok()) return status;
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

 private:
  State& state_;
  pb::Lease::Stub stub_;
};

class WatchProxy final : public pb::Watch::Service {
 public:
  explicit WatchProxy(State& state) : state_(state), stub_(state.channel) {}
  grpc::Status Watch(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<pb::WatchResponse, pb::WatchRequest>* down)
      override {
    if (auto fault = state_.TakeFault("Watch"); fault.has_value()) {
      return {static_cast<grpc::StatusCode>(fault->code), fault->message};
    }
    grpc::ClientContext client;
    client.AddMetadata("hasleader", "true");
    auto up = stub_.Watch(&client);
    std::thread pump([&] {
      pb::WatchRequest request;
      while (down->Read(&request)) up->Write(request);
      client.TryCancel();
    });
    pb::WatchResponse response;
    while (up->Read(&response)) {
      state_.Disguise(&response);
      if (!state_.silent.load()) down->Write(response);
    }
    const grpc::Status status = up->Finish();
    if (!context->IsCancelled()) context->TryCancel();
    pump.join();
    return status;
  }

 private:
  State& state_;
  pb::Watch::Stub stub_;
};

class MaintenanceProxy final : public pb::Maintenance::Service {
 public:
  explicit MaintenanceProxy(State& state)
      : state_(state), stub_(state.channel) {}
  grpc::Status Status(grpc::ServerContext*, const pb::StatusRequest* request,
                      pb::StatusResponse* response) override {
    return state_.Unary("Status", response, [&](grpc::ClientContext* context) {
      return stub_.Status(context, *request, response);
    });
  }

 private:
  State& state_;
  pb::Maintenance::Stub stub_;
};

}  // namespace

struct EtcdProxy::Impl {
  explicit Impl(const std::string& target) {
    state.channel = MakeControlChannel(target);
    kv = std::make_unique<KvProxy>(state);
    lease = std::make_unique<LeaseProxy>(state);
    watch = std::make_unique<WatchProxy>(state);
    maintenance = std::make_unique<MaintenanceProxy>(state);
  }

  State state;
  std::unique_ptr<KvProxy> kv;
  std::unique_ptr<LeaseProxy> lease;
  std::unique_ptr<WatchProxy> watch;
  std::unique_ptr<MaintenanceProxy> maintenance;
  std::unique_ptr<grpc::Server> server;
};

EtcdProxy::EtcdProxy(const std::string& target)
    : impl_(std::make_unique<Impl>(target)) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(impl_->kv.get());
  builder.RegisterService(impl_->lease.get());
  builder.RegisterService(impl_->watch.get());
  builder.RegisterService(impl_->maintenance.get());
  impl_->server = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

EtcdProxy::~EtcdProxy() {
  impl_->server->Shutdown(std::chrono::system_clock::now());
}

void EtcdProxy::Break(EtcdFault fault) {
  MutexLock lock(impl_->state.mu);
  impl_->state.faults.push_back(std::move(fault));
}

void EtcdProxy::Mend() {
  MutexLock lock(impl_->state.mu);
  impl_->state.faults.clear();
}

void EtcdProxy::SilenceWatches(bool silent) { impl_->state.silent = silent; }

void EtcdProxy::PretendCluster(uint64_t cluster_id) {
  impl_->state.cluster = cluster_id;
}

void EtcdProxy::PretendRevisionsBack(int64_t revisions) {
  impl_->state.back = revisions;
}

int EtcdProxy::calls(const std::string& method) const {
  MutexLock lock(impl_->state.mu);
  auto found = impl_->state.calls.find(method);
  return found == impl_->state.calls.end() ? 0 : found->second;
}

}  // namespace paramo::test
