// The coordinator as a process: the real ReplicaSets, its store, who is alive.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "server/coordinator/replica_sets.h"
#include "server/replication/config.h"
#include "tests/sim/loop.h"

namespace paramo::sim {

class World;

class Coordinator {
 public:
  Coordinator(World& world, uint32_t shards, uint32_t replicas,
              uint32_t servers);

  void Start();
  void Kill();
  void Pause(Micros until) { paused_until_ = until; }
  bool alive() const { return sets_ != nullptr; }
  std::function<void()> Inside(std::function<void()> run);

  void Hear(const ServerLife& life, uint64_t version);
  void Told(const ReplicaReport& report);
  // An operator's order; whether it changed anything.
  bool Transfer(ShardId shard, uint32_t server);
  void SetDrained(uint32_t server, bool drained);
  // 0: begin empty.
  bool PromoteUnsafely(ShardId shard, uint32_t server);

  // What the store has.
  const ReplicaSet& stored(ShardId shard) const { return store_[shard]; }
  uint32_t replicas() const { return options_.replicas; }
  bool Offline(ShardId shard) const;

 private:
  void Tick();
  void FindSilent(Micros stalled);
  void Probe(Micros stalled);
  void Commit();
  void After(Micros delay, std::function<void()> run);

  World& world_;
  ReplicaSetsOptions options_;

  // Durable.
  std::vector<ReplicaSet> store_;
  std::map<uint32_t, uint64_t> incarnations_;  // newest of each server
  std::set<uint32_t> drained_;
  uint64_t version_ = 0;

  // Of the process.
  int life_ = 0;
  Micros paused_until_ = 0;
  std::unique_ptr<ReplicaSets> sets_;
  std::map<ServerLife, Micros> last_heard_;
  std::map<ServerLife, Micros> last_answer_;  // to a probe
  Micros ticked_at_ = 0;
  bool committing_ = false;
};

}  // namespace paramo::sim
