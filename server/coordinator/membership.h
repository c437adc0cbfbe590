// The servers of the cluster and who holds which shard. A pure state machine:
// requests in, state and changes out; no threads, clock or disk.
//
// With one replica per shard, the rows of a shard are on its server and
// nowhere else. So shards are placed once, when `servers_expected` servers are
// up, and stay: a shard of a server that is down waits for it, and a server
// that joins later holds nothing until there is a way to move shards.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/coordinator/changes.h"

namespace paramo {
namespace v1 {
class ClusterState;
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
};

// Invariants: (1) a shard's epoch only grows, and grows with every change of
// its configuration; (2) a placed shard never changes its server; (3) in_sync
// names the primary with the incarnation it last registered under.
class Membership {
 public:
  Membership(const MembershipOptions& options, Changes& changes);
  ~Membership();

  // ---- After a restart: every stored entry, then Reconcile once -----------
  absl::Status LoadServer(absl::string_view value);
  absl::Status LoadShard(absl::string_view value);
  // Finishes what a crash between two transactions left half done.
  void Reconcile();

  // ---- Requests -------------------------------------------------------------

  // Errors: INVALID_ARGUMENT     incarnation 0, bad address or build
  //         FAILED_PRECONDITION  another cluster's data directory
  //         ALREADY_EXISTS       the id is alive under another incarnation
  //         RESOURCE_EXHAUSTED   kServersMax
  absl::Status Register(const v1::RegisterServerRequest& request,
                        v1::RegisterServerReply* reply);

  // No sign of life, or it said goodbye. False when it was not up under that
  // incarnation.
  bool MarkDown(uint32_t server, uint64_t incarnation);

  // ---- Reading --------------------------------------------------------------

  // Null when there is no such server.
  const v1::Server* Find(uint32_t server) const;
  // The server of a shard below shard_count; 0 when it has not been placed.
  uint32_t primary(uint32_t shard) const;
  // Calls `visit` for every server that is up.
  void ForEachUp(const std::function<void(const v1::Server&)>& visit) const;
  void FillState(v1::ClusterState* state) const;

 private:
  absl::Status CheckIdentity(const v1::RegisterServerRequest& request) const;
  // The server that asks, by id or, for a lost first reply, by incarnation.
  v1::Server* FindRegistered(const v1::RegisterServerRequest& request);
  void Store(const v1::Server& server);
  void Store(const v1::Shard& shard);
  // Gives the shards of `server` its present incarnation.
  void RenewReplicas(const v1::Server& server);
  void PlaceWhenComplete();

  const MembershipOptions options_;
  Changes& changes_;
  std::map<uint32_t, std::unique_ptr<v1::Server>> servers_;
  std::vector<std::unique_ptr<v1::Shard>> shards_;  // by shard id
};

}  // namespace paramo
