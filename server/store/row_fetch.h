// Rows on their way back from the store to shards that evicted them.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/base/ids.h"
#include "server/store/row_store.h"
#include "server/store/shard_flush.h"

namespace paramo {

using RowKeys = std::map<TableId, std::vector<Key>>;  // ascending

// What one shard wants.
struct RowsAsked {
  ShardId shard = 0;
  RowKeys keys;

  size_t rows() const;
};

struct FetchedRows {
  ShardFlush rows;  // the records
  // Keys that the store could not give, and why: DATA_LOSS for a row that is
  // not there or is damaged, else what the disk said.
  std::map<std::pair<TableId, Key>, absl::Status> failed;
};

// Reads rows that the store must have, for several shards at once; answers in
// the order of `asked`. Blocks on the disk.
std::vector<FetchedRows> FetchRows(const RowStore& store,
                                   absl::Span<const RowsAsked> asked);

}  // namespace paramo
