// The servers of the cluster, and through replica_sets.h who holds which shard.
// A pure state machine: requests and time in, state and changes out; no
// threads, clock or disk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/coordinator/changes.h"
#include "server/coordinator/replica_sets.h"

namespace paramo {
namespace v1 {
class ClusterState;
class HeartbeatRequest;
class RegisterServerReply;
class RegisterServerRequest;
class Server;
class Shard;
}  // namespace v1

struct MembershipOptions {
  uint64_t cluster_id = 0;
  uint64_t cluster_incarnation = 0;
  uint32_t shard_count = 0;
  uint32_t servers_expected = 1;
  uint32_t replicas = 1;         // of a shard
  uint32_t min_insync = 1;       // fewer: pulls only
  absl::Duration balance_after;  // as in ReplicaSetsOptions
};

class Membership {
 public:
  Membership(const MembershipOptions& options, Changes& changes);
  ~Membership();

  // ---- After a restart: every stored entry, then Reconcile once -----------
  absl::Status LoadServer(absl::string_view value);
  absl::Status LoadShard(absl::string_view value);
  // Goes on with what a crash interrupted. Servers that were up are taken to
  // be.
  void Reconcile(absl::Duration now);

  // ---- Requests -------------------------------------------------------------

  // Errors: INVALID_ARGUMENT     incarnation 0, bad address or build
  //         FAILED_PRECONDITION  another cluster's data directory
  //         ALREADY_EXISTS       the id is alive under another incarnation
  //         RESOURCE_EXHAUSTED   kServersMax
  absl::Status Register(const v1::RegisterServerRequest& request,
                        v1::RegisterServerReply* reply, absl::Duration now);

  // No sign of life, or it said goodbye. False when it was not up under that
  // incarnation.
  bool MarkDown(uint32_t server, uint64_t incarnation, absl::Duration now);

  // Hands a shard to another of its in-sync replicas; errors as
  // ReplicaSets::Transfer.
  absl::Status Transfer(ShardId shard, uint32_t server);

  // The shard goes on from what `server` has, or (0) empty; errors as
  // ReplicaSets::PromoteUnsafely. `shard`: as it is from then on.
  absl::Status PromoteUnsafely(ShardId id, uint32_t server,
                               SessionId ended_sessions, v1::Shard* shard);

  // Errors: NOT_FOUND            no such server
  //         FAILED_PRECONDITION  it is the last one up that is not drained
  absl::Status SetDrained(uint32_t server, bool drained);

  // Of the servers that are up, those that do not answer where they serve.
  void SetReach(const std::map<ServerLife, Reach>& reach, absl::Duration now);

  // What the replicas of a live server tell.
  void OnReports(const v1::HeartbeatRequest& beat, absl::Duration now);

  // Time has passed: completes fences, replaces replicas.
  void Tick(absl::Duration now);
  // A fence is under way: tick often.
  bool needs_tick() const { return sets_.needs_tick(); }

  // ---- Reading --------------------------------------------------------------

  // Null when there is no such server.
  const v1::Server* Find(uint32_t server) const;
  // Whether a shard below shard_count has been placed, and the servers that its
  // entry names.
  bool placed(uint32_t shard) const { return sets_.sets()[shard].epoch != 0; }
  std::vector<uint32_t> ServersOf(uint32_t shard) const;
  // Calls `visit` for every server that is up.
  void ForEachUp(const std::function<void(const v1::Server&)>& visit) const;
  // Whether every shard that is placed has its server up.
  bool AllPrimariesUp() const;
  void FillState(v1::ClusterState* state) const;

 private:
  absl::Status CheckIdentity(const v1::RegisterServerRequest& request) const;
  // The server that asks, by id or, for a lost first reply, by incarnation.
  v1::Server* FindRegistered(const v1::RegisterServerRequest& request);
  void TellIfItWaits(const ReplicaNews& news);
  void Store(const v1::Server& server);
  void ServerUp(const v1::Server& server, absl::Duration now,
                uint64_t continues);
  void StoreChangedSets();
  void FillShard(ShardId id, v1::Shard* shard) const;

  const MembershipOptions options_;
  Changes& changes_;
  std::map<uint32_t, std::unique_ptr<v1::Server>> servers_;
  ReplicaSets sets_;
  bool alarmed_ = false;       // safe mode was told
  std::set<ShardId> waiting_;  // until it ends, which was told
};

}  // namespace paramo
