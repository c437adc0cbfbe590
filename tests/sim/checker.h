// What must hold, whatever fails. Sees everything, from outside the protocol.
#pragma once

#include <cstdint>
#include <map>
#include <string>
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
// The world adds: members of in_sync have every committed record, and after
// healing everything goes on.
class Checker {
 public:
  explicit Checker(Result& result) : result_(result) {}

  bool failed() const { return !result_.violations.empty(); }
  void Violation(std::string what) {
    result_.violations.push_back(std::move(what));
  }

  // `id` is the push's, 0 for other records. True when this commits it.
  // `hash` 0: the replica's state was damaged on purpose.
  bool OnApply(ShardId shard, uint32_t server, const Record& record,
               uint64_t id, uint64_t hash);
  void OnAck(ShardId shard, uint32_t server, Epoch term, uint64_t id);
  void OnTruncated(ShardId shard, uint32_t server, Lsn lsn, uint32_t crc);
  void OnGivenUp(ShardId shard, uint64_t id);

  Lsn committed(ShardId shard) const;
  uint32_t CrcOf(ShardId shard, Lsn lsn) const;
  uint64_t applied_pushes() const { return applied_.size(); }

  // At the end.
  void CheckLedger();

 private:
  struct Committed {
    uint32_t crc;
    uint64_t hash;
  };

  Result& result_;
  std::map<ShardId, std::vector<Committed>> records_;  // lsn - 1
  std::map<uint64_t, int> applied_;                    // by push
  std::map<uint64_t, ShardId> acked_;
  std::map<uint64_t, ShardId> given_up_;
  std::map<std::pair<ShardId, Epoch>, uint32_t> acknowledgers_;
};

}  // namespace paramo::sim
