// What a log held when it was opened, checked: the records to replay, and
// which shards have lost some. Rule 4.1 of the protocol:
//
//   A bad byte is *corruption* when what lay there was promised: below the
//   durable offset (the greatest one that any batch carries; whatever lies
//   before the last segment), or written under the kernel that still runs.
//   Anything else is the tail of a crash and is cut, with all behind it. Under
//   the running kernel the tail is cut only where the file ends within the
//   last write: a killed process leaves a prefix of it, and nothing else.
//
//   Corruption affects a shard unless its records before and behind it chain
//   (lsn by one, previous_crc), so a shard with none behind it is affected.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/base/ids.h"
#include "server/log/record.h"

namespace paramo {

// Points into the log's memory: valid while its LogRecovery lives.
struct LogRecord {
  RecordHeader header;
  absl::Span<const uint8_t> payload;
};

// The records of one shard that are to be replayed, in lsn order: dense, each
// chained to the one before, without what a truncate or restart made void and
// without the marks themselves. Those of a damaged shard end before the damage.
class LogShardRecords {
 public:
  size_t size() const { return records_.size(); }
  bool empty() const { return records_.empty(); }
  LogRecord operator[](size_t i) const;

  // Where the shard goes on: the next record is last_lsn + 1 and chains to
  // last_crc. Also set when all records are void or a restart came last.
  Lsn last_lsn = 0;
  uint32_t last_crc = 0;
  Epoch last_epoch = 0;        // of the last record or mark
  HistoryId last_history = 0;  // likewise

  // DATA_LOSS when the shard is damaged; says where. Its incarnation has
  // ended: the next thing appended for it is a restart mark.
  absl::Status damage;

 private:
  friend class LogRecoveryBuilder;
  std::vector<const uint8_t*> records_;
};

// Read-only once made; any thread, so that shards replay in parallel.
class LogRecovery {
 public:
  // Shards with a record or a mark in the log, by shard id.
  absl::Span<const ShardId> shards() const { return shard_ids_; }
  // An empty one for a shard that is not in the log.
  const LogShardRecords& Shard(ShardId shard) const;

  // OK, or why `shard` is damaged. A shard without a trace in the log is
  // damaged when there is corruption: it may have been all that was lost.
  absl::Status DamageOf(ShardId shard) const;

  // Each place that was bad and promised, for people; empty is good.
  absl::Span<const std::string> corruptions() const { return corruptions_; }
  // The tail that was cut, for people; "" when there was none.
  const std::string& cut() const { return cut_; }

  uint64_t position() const { return position_; }  // end of the good stream
  uint64_t durable() const { return durable_; }    // all below was promised
  uint64_t bytes() const { return bytes_; }        // read
  size_t records() const { return records_; }      // that checked out

 private:
  friend class LogRecoveryBuilder;
  absl::flat_hash_map<ShardId, LogShardRecords> by_shard_;
  const LogShardRecords none_{};
  std::vector<ShardId> shard_ids_;
  std::vector<std::string> corruptions_;
  std::string last_corruption_;  // that may have held records
  std::string cut_;
  uint64_t position_ = 0;
  uint64_t durable_ = 0;
  uint64_t bytes_ = 0;
  size_t records_ = 0;
  std::vector<std::shared_ptr<const void>> memory_;  // the segments' bytes
};

}  // namespace paramo
