// What one shard hands to the store: copies of its dirty rows and, at the end
// of a sweep, its non-row state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/ids.h"

namespace paramo {

// One row record within the arena of its ShardFlush.
struct RowRecord {
  TableId table = 0;
  uint32_t bytes = 0;
  Key key = 0;
  size_t offset = 0;
};

// To the store a record is opaque but for its key (bytes 0-7) and the lsn that
// last changed it (bytes 8-15), both little-endian; docs/formats/row.md has the
// rest.
struct ShardFlush {
  ShardId shard = 0;
  std::vector<RowRecord> rows;
  std::string arena;  // the records, in the order they were added
  // Non-row state: with it the store has every change of the shard's rows up to
  // state_lsn. Empty: leave what is stored.
  std::string state;
  Lsn state_lsn = 0;

  // Room for so many more rows, so that those there are not moved for them.
  void Reserve(size_t count, size_t record_bytes);
  // Copies one whole record, at least the 32 bytes of a row header. A row
  // added twice is stored once, with the higher lsn.
  void AddRow(TableId table, absl::string_view record);

  absl::string_view Record(const RowRecord& row) const {
    return absl::string_view(arena.data() + row.offset, row.bytes);
  }
  Lsn RecordLsn(const RowRecord& row) const;
  bool empty() const { return rows.empty() && state.empty(); }
  // Whether all that was dirty when the sweep began has been given.
  bool EndsSweep() const { return rows.empty() || !state.empty(); }
};

// The unit of atomicity: all of a batch reaches the store, or none. A shard
// may appear more than once; its later state wins.
using FlushBatch = std::vector<ShardFlush>;

}  // namespace paramo
