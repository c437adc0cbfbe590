// The coordinator's mind: every request in, every answer out, between them the
// state machines and the store. Single-threaded and without sockets; the loop
// feeds it, tests do too.
//
// One step is any number of requests followed by Commit:
//
//   request -> state machine -> Changes     (nobody has heard of it yet)
//   Commit: store <- Changes                (synced)
//           watchers <- new ClusterState
//           callers <- answers              (some wait for the servers first)
//
// So nothing is answered or shown that is not durable, and many requests share
// one sync.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/coordinator/catalogue.h"
#include "server/coordinator/changes.h"
#include "server/coordinator/jobs.h"
#include "server/coordinator/liveness.h"
#include "server/coordinator/membership.h"
#include "server/coordinator/state_store.h"

namespace paramo {
namespace v1 {
class CreateJobRequest;
class CreateTableReply;
class CreateTableRequest;
class DescribeJobRequest;
class DescribeTableRequest;
class DrainServerReply;
class DrainServerRequest;
class DropTableReply;
class DropTableRequest;
class HeartbeatRequest;
class LeaveJobReply;
class ListJobsRequest;
class ListTablesRequest;
class OpenSessionReply;
class OpenSessionRequest;
class StopJobReply;
class StopJobRequest;
class StoredCluster;
class TransferShardReply;
class TransferShardRequest;
class UnsafePromoteReply;
class UnsafePromoteRequest;
}  // namespace v1

struct CoreOptions {
  uint32_t shards = 0;  // of a new cluster; 0 = the default, or as stored
  uint32_t servers_expected = 1;  // shards are placed once so many are up
  uint32_t replicas = 1;          // of every shard
  // Primaries are balanced when nothing has failed for so long; 0 = never.
  absl::Duration balance_after;
  RuleCheck rule_check;
  // How long a change waits for every live server to have it.
  absl::Duration applied_wait = absl::Seconds(2);
  // One of several coordinators: what it may write by, and the cluster that it
  // has seen before (0 = none): another one, or an empty store, is not accepted
  // in its place.
  StoreFence fence;
  uint64_t cluster_id = 0;
};

class Core {
 public:
  using Done = std::function<void(const absl::Status&)>;
  using Publish = std::function<void(std::shared_ptr<const v1::ClusterState>)>;

  ~Core();

  // Reads the store, or makes a new cluster in an empty one, and publishes the
  // state. `kv` and `liveness` outlive it.
  // Errors: FAILED_PRECONDITION  options.shards differs from the stored count
  //         DATA_LOSS            an entry cannot be read, or is missing
  static absl::StatusOr<std::unique_ptr<Core>> Open(const CoreOptions& options,
                                                    KvStore& kv,
                                                    Liveness& liveness,
                                                    absl::Duration now,
                                                    Publish publish);

  // ---- Requests: one per method of service Coordinator ----------------------
  // `request` and `reply` stay valid until `done` is called, which happens in
  // Commit, at once or later. `now` is waking time and never decreases.

  void RegisterServer(const v1::RegisterServerRequest& request,
                      v1::RegisterServerReply* reply, absl::Duration now,
                      Done done);
  void CreateTable(const v1::CreateTableRequest& request,
                   v1::CreateTableReply* reply, absl::Duration now, Done done);
  void DescribeTable(const v1::DescribeTableRequest& request, v1::Table* reply,
                     absl::Duration now, Done done);
  void AlterTable(const v1::AlterTableRequest& request, v1::Table* reply,
                  absl::Duration now, Done done);
  void DropTable(const v1::DropTableRequest& request, v1::DropTableReply* reply,
                 absl::Duration now, Done done);
  void ListTables(const v1::ListTablesRequest& request,
                  v1::ListTablesReply* reply, absl::Duration now, Done done);
  void OpenSession(const v1::OpenSessionRequest& request,
                   v1::OpenSessionReply* reply, absl::Duration now, Done done);
  void CreateJob(const v1::CreateJobRequest& request, v1::CreateJobReply* reply,
                 absl::Duration now, Done done);
  void JoinJob(const v1::JoinJobRequest& request, v1::JoinJobReply* reply,
               absl::Duration now, Done done);
  void LeaveJob(const v1::LeaveJobRequest& request, v1::LeaveJobReply* reply,
                absl::Duration now, Done done);
  void WorkerHeartbeat(const v1::WorkerHeartbeatRequest& request,
                       v1::WorkerHeartbeatReply* reply, absl::Duration now,
                       Done done);
  void LeaseData(const v1::LeaseDataRequest& request, v1::LeaseDataReply* reply,
                 absl::Duration now, Done done);
  void Barrier(const v1::BarrierRequest& request, absl::Duration timeout,
               absl::Duration now, Done done);
  void DescribeJob(const v1::DescribeJobRequest& request, v1::JobReport* reply,
                   absl::Duration now, Done done);
  void ListJobs(const v1::ListJobsRequest& request, v1::ListJobsReply* reply,
                absl::Duration now, Done done);
  void StopJob(const v1::StopJobRequest& request, v1::StopJobReply* reply,
               absl::Duration now, Done done);
  void TransferShard(const v1::TransferShardRequest& request,
                     v1::TransferShardReply* reply, absl::Duration now,
                     Done done);
  void UnsafePromote(const v1::UnsafePromoteRequest& request,
                     v1::UnsafePromoteReply* reply, absl::Duration now,
                     Done done);
  void DrainServer(const v1::DrainServerRequest& request,
                   v1::DrainServerReply* reply, absl::Duration now, Done done);

  // ---- Events ---------------------------------------------------------------

  // A server is silent, or said goodbye; `why` is for the log.
  void ServerGone(uint32_t server, uint64_t incarnation, absl::string_view why,
                  absl::Duration now);
  // The replicas of a server have something to tell.
  void OnReports(const v1::HeartbeatRequest& beat, absl::Duration now);
  // Time has passed, or a server has applied a newer state: finds the silent,
  // the dead and the late.
  void Tick(absl::Duration now);

  // Ends the step. After an error (always the same one from then on) nothing
  // changes any more: every caller gets UNAVAILABLE, and the process should
  // end, since what the store holds is no longer known.
  absl::Status Commit(absl::Duration now);

  // Answers everybody who still waits with UNAVAILABLE. The last call.
  void Close(absl::Duration now);

  uint64_t cluster_id() const;

  // Threads: any.
  bool has_applied_waits() const {
    return has_applied_waits_.load(std::memory_order_relaxed);
  }

 private:
  // An answer that leaves at the end of this step, or, with `when_applied`,
  // once every live server has applied the state that this step makes.
  struct Answer {
    Done done;
    absl::Status status;
    bool when_applied = false;
    std::function<void(uint64_t version)> set_version;
    // Set: it waits for this to be true first, and then for the servers to
    // have the state of that step.
    std::function<bool()> decided;
    std::function<void(absl::Duration now)> undo;  // when they did not
  };
  struct AppliedWait {
    Answer answer;
    uint64_t version;
    absl::Duration deadline;
  };

  Core(const CoreOptions& options, KvStore& kv, Liveness& liveness,
       Publish publish);
  absl::Status Load(absl::Duration now);
  absl::Status MakeCluster();
  std::array<IdCounter*, 3> counters();
  absl::Status LoadCluster(const std::map<std::string, std::string>& entries);
  absl::Status LoadEntry(const std::string& key, const std::string& value);
  absl::Status CheckComplete(const std::map<std::string, std::string>& entries);
  // Notes in the store that every shard has its entry, once that is so.
  void NoteShards();

  void Reply(Done done, absl::Status status);
  void ReplyWhenApplied(Answer answer);
  void CheckApplied(absl::Duration now);
  void CheckReach(absl::Duration now);
  bool Decided(AppliedWait& wait);
  bool AppliedEverywhere(uint64_t version) const;
  void PublishState();
  void Send(std::vector<Answer> answers, absl::Duration now);

  const CoreOptions options_;
  Liveness& liveness_;
  const Publish publish_;
  StateStore store_;
  Changes changes_;
  std::unique_ptr<v1::StoredCluster> cluster_;
  std::unique_ptr<Membership> membership_;  // made once the cluster is known
  std::unique_ptr<Catalogue> catalogue_;
  Jobs jobs_;

  uint64_t version_ = 0;         // of the state published last
  absl::Status store_failed_;    // sticky
  std::vector<Answer> answers_;  // of this step
  std::vector<AppliedWait> waits_;
  // Written by the one thread that runs steps; a hint for heartbeats.
  std::atomic<bool> has_applied_waits_{false};
};

}  // namespace paramo
