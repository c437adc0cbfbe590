// One simulated server: a process with shards and a log writer, and the disk
// that outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "server/coordinator/replica_sets.h"
#include "tests/sim/disk.h"
#include "tests/sim/hosted_shard.h"
#include "tests/sim/network.h"

namespace paramo::sim {

class World;

class Server {
 public:
  Server(World& world, Node node) : world_(world), node_(node) {}

  World& world() { return world_; }
  Disk& disk() { return disk_; }
  Node node() const { return node_; }
  ReplicaId id() const { return {node_, disk_.incarnation}; }
  bool alive() const { return alive_; }
  HostedShard* shard(ShardId shard);

  // ---- Life -----------------------------------------------------------------

  // Recovers; the incarnation goes on if nothing acknowledged can be missing.
  void Start();
  // The process is gone; of what it was writing, the kernel has some prefix.
  void Kill();
  void LosePower();
  void StopCleanly();
  void Pause(Micros until) { paused_until_ = until; }
  void set_slow_disk(bool slow) { slow_disk_ = slow; }
  // Nobody gets through to where it serves; it beats all the same.
  void set_unreachable_until(Micros until) { unreachable_until_ = until; }
  bool AnswersProbes() const;

  // Runs in this process: not after its death, and late when it is paused.
  void After(Micros delay, std::function<void()> run);
  // The same for what arrives.
  std::function<void()> Inside(std::function<void()> run);

  // ---- From others ----------------------------------------------------------

  void OnState(uint64_t version, const std::vector<ReplicaSet>& sets);
  void OnPush(const PushRequest& request, const PushDone& done);

  // What this incarnation has acknowledged, by shard and lsn: crc32cs.
  std::map<Lsn, uint32_t>& acknowledged(ShardId shard) {
    return acknowledged_[shard];
  }

  // ---- For its shards -------------------------------------------------------

  void WriteLog(const Record& record, Durability level);
  void SavePromise(ShardId shard, const Promise& promise);
  void SendToPeer(const ReplicaId& to, PeerMessage message);
  void SendReport(const ReplicaReport& report);
  void SendCheckpoint(const ReplicaId& learner, ShardId shard, ToyState state,
                      LogPosition at, HistoryId history, bool damaged);
  // Wipes what is here of the shard; then a new replica is.
  void BeginAnew(ShardId shard);

 private:
  struct Write {
    RecordHeader header;
    Durability level;
    std::string bytes;
  };

  void Tick();
  void Heartbeat();
  void FlushSome();
  void StartBatch();
  void FinishBatch();
  void Logged(const std::map<ShardId, Lsn>& progress, Durability level);
  bool ProvesItsPast() const;
  void Configure(ShardId id);
  void CheckRestored(const std::map<ShardId, RestoredReplica>& restored);
  Micros DiskDelay(Micros low, Micros high);

  World& world_;
  const Node node_;
  Micros unreachable_until_ = 0;
  Disk disk_;
  uint64_t incarnations_ = 0;
  std::map<ShardId, std::map<Lsn, uint32_t>> acknowledged_;

  // Of the process.
  bool alive_ = false;
  int life_ = 0;
  Micros paused_until_ = 0;
  bool slow_disk_ = false;
  std::map<ShardId, std::unique_ptr<HostedShard>> shards_;
  std::vector<std::unique_ptr<HostedShard>> graveyard_;
  uint64_t state_version_ = 0;
  std::vector<ReplicaSet> state_;
  std::vector<Write> appended_;  // not yet taken by the writer
  std::vector<Write> batch_;     // being written
  bool writing_ = false;
  std::map<ShardId, Lsn> unsynced_;
};

ShardConfig ConfigOf(const ReplicaSet& set, uint32_t min_insync);

}  // namespace paramo::sim
