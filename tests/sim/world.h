// Everything of one run, and how its parts reach each other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/checker.h"
#include "tests/sim/client.h"
#include "tests/sim/coordinator.h"
#include "tests/sim/faults.h"
#include "tests/sim/loop.h"
#include "tests/sim/network.h"
#include "tests/sim/server.h"

namespace paramo::sim {

class World {
 public:
  World(const Options& options, Result& result);
  void Run();

  const Options& options() const { return options_; }
  Result& result() { return result_; }
  Loop& loop() { return loop_; }
  Network& network() { return network_; }
  Checker& checker() { return checker_; }
  Coordinator& coordinator() { return *coordinator_; }
  std::vector<std::unique_ptr<Server>>& servers() { return servers_; }
  std::vector<std::unique_ptr<Client>>& clients() { return clients_; }
  void Trace(const std::string& what);
  uint64_t NewPush() { return ++last_push_; }
  uint64_t NewSession() { return ++last_session_; }
  Server* FindServer(const ReplicaId& id);  // alive, in that life

  // What this run is like.
  Durability level() const { return level_; }
  uint32_t shards() const { return shards_; }
  uint32_t min_insync() const { return min_insync_; }
  bool slow_disks() const { return slow_disks_ && !healed_; }
  // Here an operator promotes what is left of a shard that is offline.
  bool promotes() const { return promotes_; }

  // ---- Ways -----------------------------------------------------------------

  void SendPeerMessage(Server& from, const ReplicaId& to, PeerMessage message);
  void SendToCoordinator(Server& from, std::function<void()> deliver);
  void SendState(Node to, uint64_t version,
                 const std::vector<ReplicaSet>& sets);
  void SendPush(Node client, Node to, const PushRequest& request,
                const PushDone& done);
  void coordinator_heard(const ServerLife& life, uint64_t version) {
    coordinator_->Hear(life, version);
  }
  void coordinator_told(const ReplicaReport& report) {
    coordinator_->Told(report);
  }

  // ---- What is checked ------------------------------------------------------

  void OnApply(Server& server, ShardId shard, const Record& record,
               uint64_t push, uint64_t hash);
  void OnAck(Server& server, ShardId shard, Replica& replica, uint64_t push);
  void OnPrimary(Server& server, ShardId shard, HostedShard& host);
  void OnStopped(Server& server, ShardId shard, bool damaged,
                 const std::string& why);
  // No replica can lead it any more, or its damage has spread: no progress is
  // demanded.
  bool GivenUp(ShardId shard);

 private:
  void CheckInSyncHas(ShardId shard, Lsn lsn, uint32_t crc);
  bool Whole();
  void CheckEnd();
  std::optional<std::string> DamagedInSync();

  const Options options_;
  Result& result_;
  Loop loop_;
  Network network_;
  Checker checker_;
  Durability level_;
  uint32_t shards_;
  uint32_t min_insync_;
  bool slow_disks_;
  bool promotes_;
  bool healed_ = false;
  uint64_t last_push_ = 0;
  uint64_t last_session_ = 0;
  std::set<ShardId> spoiled_;
  std::unique_ptr<Coordinator> coordinator_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<Faults> faults_;
};

}  // namespace paramo::sim
