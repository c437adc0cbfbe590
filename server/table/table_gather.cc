// TableShard: finding rows, and what a pull does.
#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "server/table/table_shard.h"

namespace paramo {

// Three passes, so that the misses of different keys overlap: the index's
// lines are fetched, then the rows' first lines, then keys are compared.
void TableShard::FindBatch(absl::Span<const Key> keys, uint32_t* rows) const {
  uint64_t hashes[kBatchRows];
  for (size_t i = 0; i < keys.size(); ++i) {
    hashes[i] = RowIndex::HashOf(keys[i]);
    index_.Prefetch(hashes[i]);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    rows[i] = index_.Candidate(hashes[i]);
    if (rows[i] != kNoRow) __builtin_prefetch(arena_.Row(rows[i]));
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    if (rows[i] == kNoRow) continue;
    if (HeaderOf(arena_.Row(rows[i])).key != keys[i]) [[unlikely]] {
      rows[i] = index_.Find(keys[i], hashes[i], arena_);
    }
  }
}

// All but the header, which FindBatch has touched.
void TableShard::PrefetchRow(uint32_t row, size_t bytes) const {
  if (row == kNoRow) return;
  const std::byte* start = arena_.Row(row);
  for (size_t byte = 64; byte < std::min<size_t>(bytes, 2048); byte += 64) {
    __builtin_prefetch(start + byte);
  }
}

template <typename OutOf>
void TableShard::GatherRows(absl::Span<const Key> keys, const Codec& codec,
                            OutOf out_of) const {
  constexpr size_t kRowsAhead = 8;
  const size_t value_bytes = layout_.value_bytes();
  const size_t prefetch_bytes = RowLayout::value_offset() + value_bytes;
  uint32_t rows[kBatchRows];
  std::vector<float> computed(codec.in_place ? 0 : layout_.dim());
  for (size_t at = 0; at < keys.size(); at += kBatchRows) {
    const absl::Span<const Key> batch = keys.subspan(at, kBatchRows);
    FindBatch(batch, rows);
    for (size_t i = 0; i < batch.size(); ++i) {
      if (i + kRowsAhead < batch.size()) {
        PrefetchRow(rows[i + kRowsAhead], prefetch_bytes);
      }
      uint8_t* out = out_of(at + i);
      if (rows[i] != kNoRow && codec.in_place) {
        std::memcpy(out, ValueOf(arena_.Row(rows[i])), value_bytes);
        continue;
      }
      PARAMO_CHECK(rows[i] != kNoRow || !IsCold(batch[i]));
      if (rows[i] != kNoRow) {
        codec.encode(ValueOf(arena_.Row(rows[i])), layout_.dim(), 0, out);
      } else if (codec.in_place) {
        config_.initializer.Fill(config_.seed, batch[i], out, layout_.dim());
      } else {
        config_.initializer.Fill(config_.seed, batch[i], computed.data(),
                                 layout_.dim());
        codec.encode(computed.data(), layout_.dim(), 0, out);
      }
    }
  }
}

void TableShard::Gather(absl::Span<const Key> keys, uint8_t* out,
                        const Codec& codec) const {
  const size_t row_bytes = codec.row_bytes(layout_.dim());
  GatherRows(keys, codec, [=](size_t i) { return out + i * row_bytes; });
}

void TableShard::Gather(absl::Span<const Key> keys, uint8_t* const* outs,
                        const Codec& codec) const {
  GatherRows(keys, codec, [=](size_t i) { return outs[i]; });
}

}  // namespace paramo
