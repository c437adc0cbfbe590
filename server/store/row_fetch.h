// Rows on their way back from the store to a shard that evicted them.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/ids.h"
#include "server/store/row_store.h"
#include "server/store/shard_flush.h"

namespace paramo {

using RowKeys = std::map<TableId, std::vector<Key>>;  // ascending

struct FetchedRows {
  ShardFlush rows;  // the records
  // Keys that the store could not give, and why: DATA_LOSS for a row that is
  // not there or is damaged, else what the disk said.
  std::map<std::pair<TableId, Key>, absl::Status> failed;
};

// Reads rows that the store must have: one sorted MultiGet for each table.
// Blocks on the disk.
FetchedRows FetchRows(const RowStore& store, ShardId shard,
                      const RowKeys& keys);

}  // namespace paramo
