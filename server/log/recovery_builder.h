// Makes a LogRecovery out of segments, in stream order: decides what is
// corruption and what is a tail to cut, and follows every shard's chain.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "server/log/disk.h"
#include "server/log/index.h"
#include "server/log/recovery.h"
#include "server/log/scan.h"

namespace paramo {

// One Open's. Fills `index` on the way.
class LogRecoveryBuilder {
 public:
  using Released = absl::flat_hash_map<ShardId, Lsn>;

  LogRecoveryBuilder(const Released& released, LogIndex& index)
      : released_(released), index_(index) {}

  // Segments between the one before and the next one added are not there.
  void AddMissing(LogRange range);
  // One that has a successor: it was synced before that was made.
  void AddSynced(const SegmentName& name, const SegmentScan& scan);
  // The newest. `same_boot`: its writer's kernel runs still.
  void AddLast(const SegmentName& name, const SegmentScan& scan,
               bool same_boot);
  // Keeps the bytes that the records point into.
  void Keep(const LogFileBytes& bytes);

  // Once, at the end.
  std::unique_ptr<LogRecovery> Finish();

 private:
  struct State {
    bool seen = false;
    size_t corruptions = 0;  // before its last record
  };

  // Records and bad ranges below `end`, in order.
  void Walk(const SegmentName& name, const SegmentScan& scan, uint64_t end);
  void OnCorruption(LogRange range, const std::string& what);
  void OnRecord(const ScannedRecord& record);
  void OnMark(const ScannedRecord& record, const RecordHeader& header,
              LogShardRecords& shard, State& state);
  std::string WhyBroken(const RecordHeader& header,
                        const LogShardRecords& shard, const State& state) const;
  void Damage(LogShardRecords& shard, ShardId id, const std::string& how);

  const Released& released_;
  LogIndex& index_;
  std::unique_ptr<LogRecovery> recovery_ = std::make_unique<LogRecovery>();
  absl::flat_hash_map<ShardId, State> states_;
  size_t corruptions_ = 0;  // that may have held records
};

}  // namespace paramo
