// The control plane as calls that wait: the Coordinator and Admin services.
// For the client library and Paramo's command line.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace grpc {
class Channel;
}

namespace paramo {

namespace v1 {
class AlterTableRequest;
class BarrierRequest;
class ChecksumReply;
class ClusterState;
class CreateJobReply;
class CreateTableReply;
class JobReport;
class JobSpec;
class JoinJobReply;
class LeaseDataReply;
class LeaseDataRequest;
class LeaveJobRequest;
class ListJobsReply;
class ListKeysReply;
class ListTablesReply;
class OpenSessionReply;
class StatsReply;
class Table;
class TableSpec;
class UnsafePromoteReply;
class WorkerHeartbeatReply;
class WorkerHeartbeatRequest;
}  // namespace v1

namespace client {

template <typename T>
using Answer = absl::StatusOr<std::unique_ptr<T>>;

// One Cluster.Watch call: the state, and again after every change.
class StateStream {
 public:
  virtual ~StateStream() = default;
  // Waits for the next state; null when the stream has ended.
  virtual std::unique_ptr<v1::ClusterState> Next() = 0;
  // Why it ended; after Next returned null.
  virtual absl::Status Finish() = 0;
  // Ends it. From any thread, at any time.
  virtual void Cancel() = 0;
};

// Owns one channel per address. Coordinator calls go to the first address that
// answers as a coordinator; calls that may be repeated are, on UNAVAILABLE,
// until the timeout. Every call blocks up to its timeout.
//
// Errors: what the service says; UNAVAILABLE with the address when nobody
//         answers; FAILED_PRECONDITION when no address is a coordinator.
// Threads: any.
class Control {
 public:
  explicit Control(std::vector<std::string> addresses);
  ~Control();

  const std::vector<std::string>& addresses() const { return addresses_; }

  // ---- Cluster state --------------------------------------------------------

  // `address` may be a coordinator's or a server's. The first state is newer
  // than `after_version`. `cluster_id` 0 = any. Does not wait.
  std::unique_ptr<StateStream> Watch(const std::string& address,
                                     uint64_t cluster_id,
                                     uint64_t after_version);
  // The current state, from whichever address answers first.
  Answer<v1::ClusterState> State(absl::Duration timeout);

  // ---- Coordinator ----------------------------------------------------------

  Answer<v1::CreateTableReply> CreateTable(const v1::TableSpec& spec,
                                           absl::Duration timeout);
  Answer<v1::Table> DescribeTable(const std::string& name,
                                  absl::Duration timeout);
  Answer<v1::Table> AlterTable(const v1::AlterTableRequest& request,
                               absl::Duration timeout);
  absl::Status DropTable(const std::string& name, absl::Duration timeout);
  Answer<v1::ListTablesReply> ListTables(absl::Duration timeout);

  Answer<v1::OpenSessionReply> OpenSession(absl::Duration timeout);

  Answer<v1::CreateJobReply> CreateJob(const v1::JobSpec& spec,
                                       absl::Duration timeout);
  // Not repeated by itself: each join makes a member.
  Answer<v1::JoinJobReply> JoinJob(const std::string& job,
                                   const std::string& host, int64_t pid,
                                   absl::Duration timeout);
  absl::Status LeaveJob(const v1::LeaveJobRequest& request,
                        absl::Duration timeout);
  Answer<v1::WorkerHeartbeatReply> WorkerHeartbeat(
      const v1::WorkerHeartbeatRequest& request, absl::Duration timeout);
  Answer<v1::LeaseDataReply> LeaseData(const v1::LeaseDataRequest& request,
                                       absl::Duration timeout);
  absl::Status Barrier(const v1::BarrierRequest& request,
                       absl::Duration timeout);
  Answer<v1::JobReport> DescribeJob(const std::string& name,
                                    absl::Duration timeout);
  Answer<v1::ListJobsReply> ListJobs(absl::Duration timeout);
  absl::Status StopJob(const std::string& name, absl::Duration timeout);
  // Returns once `server` serves the shard.
  absl::Status TransferShard(uint32_t shard, uint32_t server,
                             absl::Duration timeout);
  // The shard goes on from what `server` has, or (0) empty; all else is lost.
  // Returns once it is served.
  Answer<v1::UnsafePromoteReply> UnsafePromote(uint32_t shard, uint32_t server,
                                               absl::Duration timeout);
  // Or, with `undo`, lets it take part again. Returns when that is known.
  absl::Status DrainServer(uint32_t server, bool undo, absl::Duration timeout);

  // ---- One process ----------------------------------------------------------

  // `all_replicas`: of shards too that are held and not served there.
  Answer<v1::StatsReply> Stats(const std::string& address,
                               absl::Duration timeout,
                               bool all_replicas = false);
  Answer<v1::ChecksumReply> Checksum(const std::string& address, uint32_t table,
                                     absl::Duration timeout);
  // `limit` 0 = as many as one reply may have.
  Answer<v1::ListKeysReply> ListKeys(const std::string& address, uint32_t table,
                                     uint32_t shard, uint64_t from,
                                     uint32_t limit, absl::Duration timeout);

 private:
  enum class Repeat { kYes, kNo };

  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address);

  // Calls `method` of the Coordinator's stub. In control.cc only.
  template <typename Reply, typename Request, typename Method>
  Answer<Reply> Ask(Method method, const Request& request,
                    absl::Duration timeout, Repeat repeat = Repeat::kYes);
  // Calls `method` of the Admin stub at `address`.
  template <typename Reply, typename Request, typename Method>
  Answer<Reply> AskAdmin(const std::string& address, Method method,
                         const Request& request, absl::Duration timeout);

  const std::vector<std::string> addresses_;
  // Index of the coordinator found last. Relaxed: a hint.
  std::atomic<size_t> preferred_{0};
  Mutex mu_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_
      ABSL_GUARDED_BY(mu_);  // shared with calls in progress
};

}  // namespace client
}  // namespace paramo
