// The first 32 bytes of every row, in memory and on disk, little-endian (see
// docs/formats/row.md). Here and not in server/table because rules read and
// write `step`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/ids.h"

namespace paramo {

struct RowHeader {
  Key key;
  Lsn lsn;                       // of the push that last changed the row
  uint32_t last_use;             // as given by the shard; outside checksums
  uint32_t count;                // pushes applied to the row; stops at 2^32 - 1
  uint32_t snapshot_generation;  // of the snapshot that last saw a change
  uint32_t step;                 // of rules that count; stops at 2^32 - 1
};
static_assert(sizeof(RowHeader) == 32);
static_assert(offsetof(RowHeader, lsn) == 8);
static_assert(offsetof(RowHeader, last_use) == 16);
static_assert(offsetof(RowHeader, count) == 20);
static_assert(offsetof(RowHeader, snapshot_generation) == 24);
static_assert(offsetof(RowHeader, step) == 28);

}  // namespace paramo
