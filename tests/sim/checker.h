// What must hold, whatever fails. Sees everything, from outside the protocol.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/replication/config.h"
#include "server/replication/message.h"
#include "tests/sim/sim.h"

namespace paramo::sim {

// Invariants
//   1. Ledger: an acknowledged push is applied exactly once, one of unknown
//      outcome at most once, one that was given up never.
//   2. Replicas are bit-identical at equal lsn, and so are their records.
//   3. In one term of a shard, one server acknowledges.
//   4. A committed record is never cut from a log.
//   5. A server that promised a newer term acknowledges nothing.
//   6. Nothing stops a replica but real damage.
// All of it within one history of a shard. Another one begins with what its
// base had; of what was told in earlier ones nothing is demanded.
// The world adds: members of in_sync have every committed record, and after
// healing everything goes on.
class Checker {
 public:
  explicit Checker(Result& result) : result_(result) {}

  bool failed() const { return !result_.violations.empty(); }
  void Violation(std::string what) {
    result_.violations.push_back(std::move(what));
  }

  // A history of a shard, as a replica or the store has it.
  struct Past {
    ShardId shard;
    HistoryId history;
    friend auto operator<=>(const Past&, const Past&) = default;
  };

  // `id` is the push's, 0 for other records. True when this commits it.
  // `hash` 0: the replica's state was damaged on purpose.
  bool OnApply(const Past& past, uint32_t server, const Record& record,
               uint64_t id, uint64_t hash);
  void OnAck(const Past& past, uint32_t server, Epoch term, uint64_t id);
  void OnTruncated(const Past& past, uint32_t server, Lsn lsn, uint32_t crc);
  void OnGivenUp(const Past& past, uint64_t id);
  // The server has the state of a checkpoint, or nothing any more (0).
  void OnHolds(const Past& past, uint32_t server);
  // What the store says from now on.
  void OnStored(const Past& past) { newest_[past.shard] = past.history; }

  // At the end.
  void CheckLedger();

 private:
  struct Committed {
    uint32_t crc;
    uint64_t hash;
    uint64_t id;
  };
  struct Chain {
    std::vector<Committed> records;  // lsn - 1
    std::set<uint64_t> pushes;
  };

  Chain& ChainOf(const Past& past, uint32_t server, Lsn lsn);
  void Append(Chain& chain, const Past& past, const Committed& record);
  bool IsNewest(const Past& past) const {
    return newest_.at(past.shard) == past.history;
  }

  Result& result_;
  std::map<Past, Chain> chains_;
  std::map<std::pair<ShardId, uint32_t>, HistoryId> holds_;  // by server
  std::map<ShardId, HistoryId> newest_;
  std::map<uint64_t, Past> acked_;
  std::map<uint64_t, Past> given_up_;
  std::map<std::pair<ShardId, Epoch>, uint32_t> acknowledgers_;
};

}  // namespace paramo::sim
