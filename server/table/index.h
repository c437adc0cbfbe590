// Key -> row number: an open-addressing hash table that holds no keys. A slot
// is one byte of the key's hash and a row number; the key itself is compared
// in the row's header, which the caller is about to touch anyway. 6.1 to 7.9
// bytes per row (a group is 64 bytes for at most 10.5 rows on average).
#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cstddef>
#include <cstdint>

#include "common/base/ids.h"
#include "common/base/random.h"
#include "server/table/row_arena.h"

namespace paramo {

// A search ends at the first group with an empty slot, so a slot that becomes
// free in a full group, which searches went past, is marked instead of emptied.
// Threads: one at a time.
//
// Lookups of a batch run in three passes that overlap the cache misses of
// different keys: Prefetch for all, Candidate for all (and prefetch of that
// row), Find for those whose candidate has another key.
class RowIndex {
 public:
  RowIndex();

  // Salted differently from the routing hash: the keys of one shard agree in
  // that hash's top bits, and would crowd into a few groups here.
  static uint64_t HashOf(Key key) { return Mix64(key ^ 0x1d8af0a5c6a3b94full); }

  void Prefetch(uint64_t hash) const { __builtin_prefetch(&GroupAt(hash)); }

  // The row that `hash` most likely names (a wrong one in about 4 % of cases,
  // by an equal tag), or kNoRow: then no key of this hash is here.
  uint32_t Candidate(uint64_t hash) const;

  // The row of `key`, whose keys lie in `arena`, or kNoRow.
  uint32_t Find(Key key, uint64_t hash, const RowArena& arena) const;

  // Adds row `row` of hash `hash`, taken from `arena`; its key must be missing.
  // When full, builds itself again from the rows of `arena`: O(rows), amortised
  // over a growth of 30 % or over as many marks.
  void Insert(uint64_t hash, uint32_t row, const RowArena& arena);

  // Forgets row `row` of hash `hash`, which must be there.
  void Erase(uint64_t hash, uint32_t row);

  size_t bytes() const { return group_count_ * sizeof(Group); }

 private:
  // One cache line: a lookup that ends here costs one miss.
  static constexpr uint32_t kSlots = 12;
  struct Group {
    uint8_t tags[16];  // kEmpty, kGone or of a row; the last four stay kEmpty
    uint32_t rows[kSlots];
  };
  static_assert(sizeof(Group) == 64);

  static constexpr uint8_t kEmpty = 0;
  static constexpr uint8_t kGone = 1;

  static uint8_t TagOf(uint64_t hash) {
    const uint8_t tag = static_cast<uint8_t>(hash);
    return tag <= kGone ? tag + 2 : tag;
  }

  // Bit i is set when tags[i] == tag, for the 12 slots.
  static uint32_t Match(const Group& group, uint8_t tag);

  // The top bits choose the group (Lemire's multiply-shift, so the count need
  // not be a power of two); the low byte is the tag.
  size_t HomeOf(uint64_t hash) const {
    return static_cast<size_t>(
        (static_cast<unsigned __int128>(hash) * group_count_) >> 64);
  }
  const Group& GroupAt(uint64_t hash) const { return groups()[HomeOf(hash)]; }
  size_t Next(size_t group) const {
    return group + 1 == group_count_ ? 0 : group + 1;
  }
  Group* groups() const { return reinterpret_cast<Group*>(block_.get()); }

  void Allocate(size_t group_count);
  void Place(uint64_t hash, uint32_t row);
  void Rebuild(uint32_t without, const RowArena& arena);

  Block block_;
  size_t group_count_ = 0;
  size_t used_ = 0;      // slots that are not empty
  size_t used_max_ = 0;  // 7/8 of the slots
};

inline uint32_t RowIndex::Match(const Group& group, uint8_t tag) {
#if defined(__SSE2__)
  const __m128i tags =
      _mm_load_si128(reinterpret_cast<const __m128i*>(group.tags));
  const __m128i equal =
      _mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)));
  return static_cast<uint32_t>(_mm_movemask_epi8(equal)) & ((1u << kSlots) - 1);
#else
  uint32_t mask = 0;
  for (uint32_t i = 0; i < kSlots; ++i) {
    mask |= static_cast<uint32_t>(group.tags[i] == tag) << i;
  }
  return mask;
#endif
}

inline uint32_t RowIndex::Candidate(uint64_t hash) const {
  const uint8_t tag = TagOf(hash);
  for (size_t at = HomeOf(hash);; at = Next(at)) {
    const Group& group = groups()[at];
    if (const uint32_t match = Match(group, tag)) {
      return group.rows[__builtin_ctz(match)];
    }
    if (Match(group, kEmpty) != 0) return kNoRow;
  }
}

}  // namespace paramo
