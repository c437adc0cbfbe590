// The records of every shard, gathered from the logs that all servers have
// kept whole. No single log need have all of a shard: a replica that was made
// from a checkpoint has nothing of what came before it, and a deposed primary
// has records that never counted. Each record names the one before it by its
// crc32c, so from the last one there is one way back to the first.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "server/log/disk.h"
#include "server/log/recovery.h"

namespace paramo::chaos {

// Holds the segments in memory (mapped). Threads: one.
class ShardLogs {
 public:
  // Takes the records of one server's log.
  // Errors: DATA_LOSS  something in it is damaged; and those of the disk
  absl::Status Add(const std::string& directory);

  std::vector<ShardId> shards() const;

  // Every record of the shard that counts, from lsn 1 to the last one of the
  // newest primary.
  // Errors: DATA_LOSS  one of them is in no log
  absl::StatusOr<std::vector<LogRecord>> Chain(ShardId shard) const;

 private:
  void Take(const uint8_t* bytes);

  // By lsn, different ones only.
  using Records = std::map<Lsn, std::vector<LogRecord>>;
  std::map<ShardId, Records> by_shard_;
  std::vector<LogFileBytes> memory_;
};

}  // namespace paramo::chaos
