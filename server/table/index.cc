#include "server/table/index.h"

#include <algorithm>
#include <cstring>

#include "server/table/row.h"

namespace paramo {

RowIndex::RowIndex() { Allocate(1); }

uint32_t RowIndex::Find(Key key, uint64_t hash, const RowArena& arena) const {
  const uint8_t tag = TagOf(hash);
  for (size_t at = HomeOf(hash);; at = Next(at)) {
    const Group& group = groups()[at];
    for (uint32_t match = Match(group, tag); match != 0; match &= match - 1) {
      const uint32_t row = group.rows[__builtin_ctz(match)];
      if (HeaderOf(arena.Row(row)).key == key) return row;
    }
    if (Match(group, 0) != 0) return kNoRow;
  }
}

void RowIndex::Insert(uint64_t hash, uint32_t row, const RowArena& arena) {
  if (used_ == used_max_) {
    // At least one group more; 30 % keeps the memory below 8 bytes per row.
    Allocate(group_count_ + std::max<size_t>(1, group_count_ * 3 / 10));
    Rebuild(row, arena);
  }
  Place(hash, row);
}

void RowIndex::Allocate(size_t group_count) {
  block_ = AllocateBlock(group_count * sizeof(Group));
  std::memset(static_cast<void*>(block_.get()), 0, group_count * sizeof(Group));
  group_count_ = group_count;
  used_ = 0;
  used_max_ = group_count * kSlots * 7 / 8;
}

void RowIndex::Place(uint64_t hash, uint32_t row) {
  for (size_t at = HomeOf(hash);; at = Next(at)) {
    Group& group = groups()[at];
    if (const uint32_t empty = Match(group, 0)) {
      const int slot = __builtin_ctz(empty);
      group.tags[slot] = TagOf(hash);
      group.rows[slot] = row;
      ++used_;
      return;
    }
  }
}

// Rows are read in order of their address, so only the groups are random;
// those of 32 rows are fetched together.
void RowIndex::Rebuild(uint32_t rows, const RowArena& arena) {
  constexpr uint32_t kTogether = 32;
  uint64_t hashes[kTogether];
  for (uint32_t begin = 0; begin < rows; begin += kTogether) {
    const uint32_t n = std::min(kTogether, rows - begin);
    for (uint32_t i = 0; i < n; ++i) {
      hashes[i] = HashOf(HeaderOf(arena.Row(begin + i)).key);
      Prefetch(hashes[i]);
    }
    for (uint32_t i = 0; i < n; ++i) Place(hashes[i], begin + i);
  }
}

}  // namespace paramo
