// Peer: the only file of these tests that sees gRPC's generated services.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "paramo/v1/admin.grpc.pb.h"
#include "paramo/v1/control.grpc.pb.h"
#include "paramo/v1/data.grpc.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

constexpr absl::Duration kCallWithin = absl::Seconds(10);

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

// Runs one unary method of a generated stub.
template <typename Answer, typename Method>
absl::StatusOr<Answer> Call(Method method) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kCallWithin));
  Answer reply;
  const grpc::Status status = method(&context, &reply);
  if (!status.ok()) return FromGrpc(status);
  return reply;
}

std::shared_ptr<grpc::Channel> Channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace

struct Peer::Stubs {
  explicit Stubs(const std::string& address)
      : channel(Channel(address)),
        data(channel),
        admin(channel),
        cluster(channel),
        coordinator(channel),
        generic(channel) {}

  std::shared_ptr<grpc::Channel> channel;
  v1::Data::Stub data;
  v1::Admin::Stub admin;
  v1::Cluster::Stub cluster;
  v1::Coordinator::Stub coordinator;
  grpc::GenericStub generic;
};

Peer::Peer(std::string address)
    : address_(std::move(address)), stubs_(std::make_unique<Stubs>(address_)) {}
Peer::~Peer() = default;

absl::StatusOr<v1::Reply> Peer::Push(const v1::Request& request) const {
  return Call<v1::Reply>([&](auto* context, auto* reply) {
    return stubs_->data.Push(context, request, reply);
  });
}

absl::StatusOr<v1::Reply> Peer::Pull(const v1::Request& request) const {
  return Call<v1::Reply>([&](auto* context, auto* reply) {
    return stubs_->data.Pull(context, request, reply);
  });
}

absl::StatusOr<v1::Reply> Peer::PushPull(const v1::Request& request) const {
  return Call<v1::Reply>([&](auto* context, auto* reply) {
    return stubs_->data.PushPull(context, request, reply);
  });
}

absl::StatusOr<std::string> Peer::Raw(const std::string& method,
                                      const std::string& bytes) const {
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer message(&slice, 1);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kCallWithin));
  grpc::CompletionQueue queue;
  auto call =
      stubs_->generic.PrepareUnaryCall(&context, method, message, &queue);
  call->StartCall();
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->Finish(&reply, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  if (!status.ok()) return FromGrpc(status);
  std::vector<grpc::Slice> slices;
  if (!reply.Dump(&slices).ok()) return absl::InternalError("no answer");
  std::string text;
  for (const grpc::Slice& s : slices) {
    text.append(reinterpret_cast<const char*>(s.begin()), s.size());
  }
  return text;
}

std::pair<std::vector<v1::Reply>, absl::Status> Peer::Stream(
    const std::vector<v1::Request>& requests) const {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kCallWithin));
  auto stream = stubs_->data.Stream(&context);
  std::vector<v1::Reply> replies;
  v1::Reply reply;
  for (const v1::Request& request : requests) {
    if (!stream->Write(request) || !stream->Read(&reply)) break;
    replies.push_back(reply);
  }
  stream->WritesDone();
  while (stream->Read(&reply)) replies.push_back(reply);
  return {std::move(replies), FromGrpc(stream->Finish())};
}

v1::StatsReply Peer::Stats() const {
  auto reply = Call<v1::StatsReply>([&](auto* context, auto* out) {
    return stubs_->admin.Stats(context, v1::StatsRequest(), out);
  });
  if (reply.ok()) return *std::move(reply);
  std::fprintf(stderr, "no statistics from %s: %s\n", address_.c_str(),
               std::string(reply.status().message()).c_str());
  std::abort();
}

double Peer::Metric(const std::string& name, const std::string& labels) const {
  double sum = 0;
  const v1::StatsReply stats = Stats();
  for (const v1::Metric& metric : stats.metrics()) {
    const bool wanted = labels.empty() || metric.labels() == labels;
    if (metric.name() == name && wanted) sum += metric.value();
  }
  return sum;
}

double Peer::Refused(const std::string& reason) const {
  return Metric("paramo_refused_total",
                absl::StrCat("{reason=\"", reason, "\"}"));
}

absl::StatusOr<v1::ChecksumReply> Peer::Checksum(uint32_t table) const {
  v1::ChecksumRequest request;
  request.set_table(table);
  return Call<v1::ChecksumReply>([&](auto* context, auto* reply) {
    return stubs_->admin.Checksum(context, request, reply);
  });
}

absl::StatusOr<v1::ClusterState> Peer::State() const {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kCallWithin));
  v1::WatchRequest request;
  request.set_once(true);
  auto reader = stubs_->cluster.Watch(&context, request);
  v1::ClusterState state;
  const bool read = reader->Read(&state);
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return FromGrpc(status);
  if (!read) return absl::UnavailableError("the watch ended without a state");
  return state;
}

absl::StatusOr<v1::Table> Peer::CreateTable(const v1::TableSpec& spec) const {
  v1::CreateTableRequest request;
  *request.mutable_spec() = spec;
  auto reply = Call<v1::CreateTableReply>([&](auto* context, auto* out) {
    return stubs_->coordinator.CreateTable(context, request, out);
  });
  if (!reply.ok()) return reply.status();
  return reply->table();
}

absl::StatusOr<v1::Table> Peer::AlterTable(
    const v1::AlterTableRequest& request) const {
  return Call<v1::Table>([&](auto* context, auto* reply) {
    return stubs_->coordinator.AlterTable(context, request, reply);
  });
}

absl::Status Peer::DropTable(const std::string& name) const {
  v1::DropTableRequest request;
  request.set_name(name);
  return Call<v1::DropTableReply>([&](auto* context, auto* reply) {
           return stubs_->coordinator.DropTable(context, request, reply);
         })
      .status();
}

absl::StatusOr<v1::OpenSessionReply> Peer::OpenSession() const {
  return Call<v1::OpenSessionReply>([&](auto* context, auto* reply) {
    return stubs_->coordinator.OpenSession(context, v1::OpenSessionRequest(),
                                           reply);
  });
}

absl::Status Peer::CreateJob(const v1::JobSpec& spec) const {
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  return Call<v1::CreateJobReply>([&](auto* context, auto* reply) {
           return stubs_->coordinator.CreateJob(context, request, reply);
         })
      .status();
}

}  // namespace paramo::test
