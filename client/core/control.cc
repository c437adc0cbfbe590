#include "client/core/control.h"

#include <algorithm>
#include <thread>
#include <type_traits>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/transport/not_leading.h"
#include "common/transport/settings.h"
#include "common/transport/state_reader.h"
#include "paramo/v1/admin.grpc.pb.h"
#include "paramo/v1/control.grpc.pb.h"

namespace paramo::client {
namespace {

// Between rounds over all addresses when none answers.
constexpr absl::Duration kPauseFirst = absl::Milliseconds(20);
constexpr absl::Duration kPauseMax = absl::Milliseconds(500);

// With several addresses: for one to connect, and for one to answer. A change
// waits up to 2 s for the servers.
constexpr absl::Duration kConnectTime = absl::Seconds(1);
constexpr absl::Duration kAttemptTime = absl::Seconds(3);

absl::Status At(const std::string& address, const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(absl::StrCat(address, ": ", status.message()));
}

absl::Status ToAbsl(const grpc::Status& status, const std::string& address) {
  return At(address,
            absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                         status.error_message()));
}

// Tries to connect; false at once when that fails.
bool IsConnected(grpc::Channel& channel, absl::Time deadline) {
  while (true) {
    const grpc_connectivity_state state =
        channel.GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return true;
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE ||
        !channel.WaitForStateChange(state, absl::ToChronoTime(deadline))) {
      return false;
    }
  }
}

// A paused coordinator holds its connection and says nothing: while others
// might lead, it is waited for only so long.
absl::Time AttemptDeadline(size_t addresses, absl::Time deadline) {
  if (addresses == 1) return deadline;
  return std::min(deadline, absl::Now() + kAttemptTime);
}

void SetDeadline(grpc::ClientContext& context, absl::Time deadline) {
  context.set_deadline(absl::ToChronoTime(deadline));
}

class GrpcStateStream final : public StateStream {
 public:
  GrpcStateStream(std::shared_ptr<grpc::Channel> channel, std::string address,
                  const v1::WatchRequest& request)
      : address_(std::move(address)),
        reader_(std::move(channel), context_, request) {}

  std::unique_ptr<v1::ClusterState> Next() override {
    auto state = std::make_unique<v1::ClusterState>();
    if (!reader_.Read(*state)) return nullptr;
    return state;
  }
  absl::Status Finish() override { return At(address_, reader_.Finish()); }
  void Cancel() override { context_.TryCancel(); }

 private:
  const std::string address_;
  grpc::ClientContext context_;
  StateReader reader_;
};

}  // namespace

Control::Control(std::vector<std::string> addresses)
    : addresses_(std::move(addresses)) {}

Control::~Control() = default;

std::shared_ptr<grpc::Channel> Control::ChannelTo(const std::string& address) {
  MutexLock lock(mu_);
  std::shared_ptr<grpc::Channel>& channel = channels_[address];
  if (channel == nullptr) channel = MakeControlChannel(address);
  return channel;
}

template <typename Reply, typename Request, typename Method>
Answer<Reply> Control::Ask(Method method, const Request& request,
                           absl::Duration timeout, Repeat repeat) {
  const absl::Time deadline = absl::Now() + timeout;
  // One that waits for others, or that may not be sent twice, has all the time.
  const bool waits =
      std::is_same_v<Reply, v1::BarrierReply> || repeat == Repeat::kNo;
  absl::Duration pause = kPauseFirst;
  while (true) {
    absl::Status last;
    size_t not_coordinators = 0;
    const size_t first = preferred_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < addresses_.size(); ++i) {
      const size_t index = (first + i) % addresses_.size();
      const std::string& address = addresses_[index];
      const std::shared_ptr<grpc::Channel> channel = ChannelTo(address);
      // One that cannot be reached must not use up everybody's time, and has
      // certainly done nothing.
      if (addresses_.size() > 1 &&
          !IsConnected(*channel,
                       std::min(deadline, absl::Now() + kConnectTime))) {
        last = absl::UnavailableError(absl::StrCat(address, ": no answer"));
        continue;
      }
      grpc::ClientContext context;
      SetDeadline(context, waits
                               ? deadline
                               : AttemptDeadline(addresses_.size(), deadline));
      auto reply = std::make_unique<Reply>();
      auto stub = v1::Coordinator::NewStub(channel);
      const grpc::Status status =
          (stub.get()->*method)(&context, request, reply.get());
      if (status.ok()) {
        preferred_.store(index, std::memory_order_relaxed);
        return reply;
      }
      last = ToAbsl(status, address);
      if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
        ++not_coordinators;
        continue;
      }
      const bool nothing_happened =
          context.GetServerTrailingMetadata().count(kNotLeadingKey) > 0;
      if (nothing_happened) continue;
      const bool silent =
          status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
          absl::Now() < deadline;
      if (status.error_code() != grpc::StatusCode::UNAVAILABLE && !silent) {
        return last;
      }
      if (repeat == Repeat::kNo) return last;
    }
    if (not_coordinators == addresses_.size()) {
      return absl::FailedPreconditionError(
          absl::StrCat("none of the addresses is a coordinator's (",
                       addresses_[0], addresses_.size() > 1 ? ", ..." : "",
                       "): add the coordinator's host:port to PARAMO_ADDRESS"));
    }
    if (absl::Now() + pause >= deadline) return last;
    absl::SleepFor(pause);
    pause = std::min(pause * 2, kPauseMax);
  }
}

template <typename Reply, typename Request, typename Method>
Answer<Reply> Control::AskAdmin(const std::string& address, Method method,
                                const Request& request,
                                absl::Duration timeout) {
  grpc::ClientContext context;
  SetDeadline(context, absl::Now() + timeout);
  auto reply = std::make_unique<Reply>();
  auto stub = v1::Admin::NewStub(ChannelTo(address));
  const grpc::Status status =
      (stub.get()->*method)(&context, request, reply.get());
  if (!status.ok()) return ToAbsl(status, address);
  return reply;
}

// ---- Cluster state ----------------------------------------------------------

std::unique_ptr<StateStream> Control::Watch(const std::string& address,
                                            uint64_t cluster_id,
                                            uint64_t after_version) {
  v1::WatchRequest request;
  request.set_cluster_id(cluster_id);
  request.set_after_version(after_version);
  return std::make_unique<GrpcStateStream>(ChannelTo(address), address,
                                           request);
}

Answer<v1::ClusterState> Control::State(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  v1::WatchRequest request;
  request.set_once(true);
  absl::Duration pause = kPauseFirst;
  while (true) {
    absl::Status last;
    for (const std::string& address : addresses_) {
      const std::shared_ptr<grpc::Channel> channel = ChannelTo(address);
      if (addresses_.size() > 1 &&
          !IsConnected(*channel,
                       std::min(deadline, absl::Now() + kConnectTime))) {
        last = absl::UnavailableError(absl::StrCat(address, ": no answer"));
        continue;
      }
      grpc::ClientContext context;
      SetDeadline(context, AttemptDeadline(addresses_.size(), deadline));
      StateReader reader(channel, context, request);
      auto state = std::make_unique<v1::ClusterState>();
      if (reader.Read(*state)) {
        context.TryCancel();
        (void)reader.Finish();
        return state;
      }
      last = At(address, reader.Finish());
    }
    if (!absl::IsUnavailable(last) && !absl::IsDeadlineExceeded(last)) {
      return last;
    }
    if (absl::Now() + pause >= deadline) return last;
    absl::SleepFor(pause);
    pause = std::min(pause * 2, kPauseMax);
  }
}

// ---- Coordinator ------------------------------------------------------------

using Coordinator = v1::Coordinator::Stub;

Answer<v1::CreateTableReply> Control::CreateTable(const v1::TableSpec& spec,
                                                  absl::Duration timeout) {
  v1::CreateTableRequest request;
  *request.mutable_spec() = spec;
  return Ask<v1::CreateTableReply>(&Coordinator::CreateTable, request, timeout);
}

Answer<v1::Table> Control::DescribeTable(const std::string& name,
                                         absl::Duration timeout) {
  v1::DescribeTableRequest request;
  request.set_name(name);
  return Ask<v1::Table>(&Coordinator::DescribeTable, request, timeout);
}

Answer<v1::Table> Control::AlterTable(const v1::AlterTableRequest& request,
                                      absl::Duration timeout) {
  return Ask<v1::Table>(&Coordinator::AlterTable, request, timeout);
}

absl::Status Control::DropTable(const std::string& name,
                                absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  Answer<v1::Table> table = DescribeTable(name, timeout);
  if (!table.ok()) return table.status();
  v1::DropTableRequest request;
  request.set_name(name);
  request.set_id((*table)->id());  // or the second of two would find nothing
  timeout = deadline - absl::Now();
  return Ask<v1::DropTableReply>(&Coordinator::DropTable, request, timeout)
      .status();
}

Answer<v1::ListTablesReply> Control::ListTables(absl::Duration timeout) {
  return Ask<v1::ListTablesReply>(&Coordinator::ListTables,
                                  v1::ListTablesRequest(), timeout);
}

Answer<v1::OpenSessionReply> Control::OpenSession(absl::Duration timeout) {
  return Ask<v1::OpenSessionReply>(&Coordinator::OpenSession,
                                   v1::OpenSessionRequest(), timeout);
}

Answer<v1::CreateJobReply> Control::CreateJob(const v1::JobSpec& spec,
                                              absl::Duration timeout) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  return Ask<v1::CreateJobReply>(&Coordinator::CreateJob, request, timeout);
}

Answer<v1::JoinJobReply> Control::JoinJob(const std::string& job,
                                          const std::string& host, int64_t pid,
                                          absl::Duration timeout) {
  v1::JoinJobRequest request;
  request.set_job(job);
  request.set_host(host);
  request.set_pid(pid);
  return Ask<v1::JoinJobReply>(&Coordinator::JoinJob, request, timeout,
                               Repeat::kNo);
}

absl::Status Control::LeaveJob(const v1::LeaveJobRequest& request,
                               absl::Duration timeout) {
  return Ask<v1::LeaveJobReply>(&Coordinator::LeaveJob, request, timeout)
      .status();
}

Answer<v1::WorkerHeartbeatReply> Control::WorkerHeartbeat(
    const v1::WorkerHeartbeatRequest& request, absl::Duration timeout) {
  return Ask<v1::WorkerHeartbeatReply>(&Coordinator::WorkerHeartbeat, request,
                                       timeout);
}

Answer<v1::LeaseDataReply> Control::LeaseData(
    const v1::LeaseDataRequest& request, absl::Duration timeout) {
  return Ask<v1::LeaseDataReply>(&Coordinator::LeaseData, request, timeout);
}

absl::Status Control::Barrier(const v1::BarrierRequest& request,
                              absl::Duration timeout) {
  return Ask<v1::BarrierReply>(&Coordinator::Barrier, request, timeout)
      .status();
}

Answer<v1::JobReport> Control::DescribeJob(const std::string& name,
                                           absl::Duration timeout) {
  v1::DescribeJobRequest request;
  request.set_name(name);
  return Ask<v1::JobReport>(&Coordinator::DescribeJob, request, timeout);
}

Answer<v1::ListJobsReply> Control::ListJobs(absl::Duration timeout) {
  return Ask<v1::ListJobsReply>(&Coordinator::ListJobs, v1::ListJobsRequest(),
                                timeout);
}

absl::Status Control::StopJob(const std::string& name, absl::Duration timeout) {
  v1::StopJobRequest request;
  request.set_name(name);
  return Ask<v1::StopJobReply>(&Coordinator::StopJob, request, timeout)
      .status();
}

absl::Status Control::TransferShard(uint32_t shard, uint32_t server,
                                    absl::Duration timeout) {
  v1::TransferShardRequest request;
  request.set_shard(shard);
  request.set_to(server);
  return Ask<v1::TransferShardReply>(&Coordinator::TransferShard, request,
                                     timeout)
      .status();
}

Answer<v1::UnsafePromoteReply> Control::UnsafePromote(uint32_t shard,
                                                      uint32_t server,
                                                      absl::Duration timeout) {
  v1::UnsafePromoteRequest request;
  request.set_shard(shard);
  request.set_server(server);
  request.set_empty(server == 0);
  request.set_accept_data_loss(true);
  return Ask<v1::UnsafePromoteReply>(&Coordinator::UnsafePromote, request,
                                     timeout, Repeat::kNo);
}

absl::Status Control::DrainServer(uint32_t server, bool undo,
                                  absl::Duration timeout) {
  v1::DrainServerRequest request;
  request.set_server(server);
  request.set_undo(undo);
  return Ask<v1::DrainServerReply>(&Coordinator::DrainServer, request, timeout)
      .status();
}

// ---- One process ------------------------------------------------------------

Answer<v1::StatsReply> Control::Stats(const std::string& address,
                                      absl::Duration timeout,
                                      bool all_replicas) {
  v1::StatsRequest request;
  request.set_all_replicas(all_replicas);
  return AskAdmin<v1::StatsReply>(address, &v1::Admin::Stub::Stats, request,
                                  timeout);
}

Answer<v1::ChecksumReply> Control::Checksum(const std::string& address,
                                            uint32_t table,
                                            absl::Duration timeout) {
  v1::ChecksumRequest request;
  request.set_table(table);
  return AskAdmin<v1::ChecksumReply>(address, &v1::Admin::Stub::Checksum,
                                     request, timeout);
}

Answer<v1::ListKeysReply> Control::ListKeys(const std::string& address,
                                            uint32_t table, uint32_t shard,
                                            uint64_t from, uint32_t limit,
                                            absl::Duration timeout) {
  v1::ListKeysRequest request;
  request.set_table(table);
  request.set_shard(shard);
  request.set_from(from);
  request.set_limit(limit);
  return AskAdmin<v1::ListKeysReply>(address, &v1::Admin::Stub::ListKeys,
                                     request, timeout);
}

}  // namespace paramo::client
