#include "server/table/index.h"

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
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
    if (Match(group, kEmpty) != 0) return kNoRow;
  }
}

void RowIndex::Insert(uint64_t hash, uint32_t row, const RowArena& arena) {
  if (used_ == used_max_) {
    // At least one group more; 30 % keeps the memory below 8 bytes per row.
    const bool marks = arena.rows() - arena.freed() < used_max_ - used_max_ / 4;
    Allocate(group_count_ +
             (marks ? 0 : std::max<size_t>(1, group_count_ * 3 / 10)));
    Rebuild(/*without=*/row, arena);
  }
  Place(hash, row);
}

void RowIndex::Erase(uint64_t hash, uint32_t row) {
  const uint8_t tag = TagOf(hash);
  for (size_t at = HomeOf(hash);; at = Next(at)) {
    Group& group = groups()[at];
    const bool full = Match(group, kEmpty) == 0;
    for (uint32_t match = Match(group, tag); match != 0; match &= match - 1) {
      const int slot = __builtin_ctz(match);
      if (group.rows[slot] != row) continue;
      group.tags[slot] = full ? kGone : kEmpty;
      used_ -= full ? 0 : 1;
      return;
    }
    PARAMO_CHECK(full);  // or the row was not there
  }
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
    const uint32_t gone = Match(group, kGone);
    const uint32_t open = gone != 0 ? gone : Match(group, kEmpty);
    if (open == 0) continue;
    const int slot = __builtin_ctz(open);
    group.tags[slot] = TagOf(hash);
    group.rows[slot] = row;
    used_ += gone != 0 ? 0 : 1;
    return;
  }
}

// Rows are read in order of their address, so only the groups are random;
// those of 32 rows are fetched together.
void RowIndex::Rebuild(uint32_t without, const RowArena& arena) {
  constexpr uint32_t kTogether = 32;
  uint64_t hashes[kTogether];
  uint32_t rows[kTogether];
  uint32_t n = 0;
  for (uint32_t row = 0; row < arena.rows(); ++row) {
    if (row != without && !arena.IsFree(row)) {
      hashes[n] = HashOf(HeaderOf(arena.Row(row)).key);
      Prefetch(hashes[n]);
      rows[n++] = row;
    }
    if (n < kTogether && row + 1 < arena.rows()) continue;
    for (uint32_t i = 0; i < n; ++i) Place(hashes[i], rows[i]);
    n = 0;
  }
}

}  // namespace paramo
