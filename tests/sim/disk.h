// One server's disk: what a kill leaves, and what a power loss leaves of that.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "server/replication/replica.h"
#include "tests/sim/loop.h"

namespace paramo::sim {

// The state of the toy shard: per session the last number and which were given
// up; a hash of all records.
struct ToyState {
  struct Session {
    uint64_t last = 0;
    std::set<uint64_t> skipped;
  };
  std::map<uint64_t, Session> sessions;
  uint64_t ended = 0;  // sessions up to here are over
  uint64_t hash = 0;
};

struct StoredShard {
  ToyState state;
  LogPosition at;
  HistoryId history = 0;
  bool damaged = false;  // on purpose
};

// The log is bytes, as on a disk: recovery reads them and believes nothing.
class Disk {
 public:
  // Rows and promises: one write is atomic and durable (RocksDB, synced).
  std::map<ShardId, StoredShard> store;
  std::map<ShardId, Promise> promises;
  uint64_t incarnation = 0;
  // Replicas that stopped: wiped at the next start, which ends the incarnation.
  std::set<ShardId> stopped;
  bool clean = false;      // stopped in order
  bool log_intact = true;  // no power loss since the last start

  void Write(const std::string& bytes) { log_ += bytes; }
  void Sync() { synced_ = log_.size(); }
  size_t unsynced() const { return log_.size() - synced_; }

  // Of what was not synced, some prefix of bytes reached the disk, and of that
  // perhaps not every page.
  void LosePower(Loop& loop);

  // One of the log's records cannot be read any more. False: there is none.
  bool SpoilRecord(Loop& loop);
  bool spoiled() const { return !bad_.empty(); }

  // The good prefix, per shard: records behind the shard's stored state, marks
  // obeyed. Cuts what is not good, wipes what has stopped, and syncs.
  std::map<ShardId, RestoredReplica> Recover();

  static std::string Bytes(const Record& record);

 private:
  std::string log_;
  size_t synced_ = 0;
  std::set<size_t> bad_;  // where spoiled records begin
};

}  // namespace paramo::sim
