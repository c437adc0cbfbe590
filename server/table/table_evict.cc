// TableShard: which rows are in memory, and which only in the store.
#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/status.h"
#include "server/table/table_shard.h"

namespace paramo {
namespace {

// Rows looked at for each that may be evicted: a table that is all dirty, or
// all in use, must not hold the strand either.
constexpr size_t kLooksPerRow = 64;

// How often Evict may have to come past a row. Under Zipf 1.0, a tenth of a
// million rows in memory, batches of 1,024: 1 misses 0.214 of the rows asked
// for, 3 0.206, more no less; the best that could be chosen 0.160.
constexpr uint8_t kUsesMax = 3;

}  // namespace

RowPins TableShard::Pin(absl::Span<const Key> keys, std::vector<Key>& missing,
                        Look look) {
  if (pins_->size() < arena_.rows()) pins_->resize(arena_.rows());
  if (uses_.size() < arena_.rows()) uses_.resize(arena_.rows());
  std::vector<uint32_t> held;
  held.reserve(keys.size());
  uint32_t rows[kBatchRows];
  for (size_t at = 0; at < keys.size(); at += kBatchRows) {
    const absl::Span<const Key> batch = keys.subspan(at, kBatchRows);
    FindBatch(batch, rows);
    for (size_t i = 0; i < batch.size(); ++i) {
      if (rows[i] == kNoRow) {
        missing.push_back(batch[i]);
        continue;
      }
      uint8_t& uses = uses_[rows[i]];
      if (look == Look::kFirst && uses < kUsesMax) ++uses;
      ++(*pins_)[rows[i]];
      held.push_back(rows[i]);
    }
  }
  return RowPins(pins_, std::move(held));
}

size_t TableShard::Evict(uint64_t bytes, size_t rows_max) {
  const uint64_t rows_wanted = bytes / layout_.stride();
  size_t evicted = 0;
  size_t looks = std::min<size_t>(
      (kUsesMax + 1) * arena_.rows() + 128,
      std::clamp<size_t>(rows_max, 2, size_t{1} << 32) * kLooksPerRow);
  while (looks > 0 && evicted < rows_max && resident_rows() > rows_wanted) {
    if (hand_ >= arena_.rows()) hand_ = 0;
    const size_t word = hand_ / 64;
    const uint64_t ahead =
        ~(dirty_[word] | flushing_[word]) & (~uint64_t{0} << (hand_ % 64));
    if (ahead == 0) {
      looks -= std::min(looks, 64 - hand_ % 64);
      hand_ = (word + 1) * 64;
      continue;
    }
    const auto row = static_cast<uint32_t>(word * 64 + __builtin_ctzll(ahead));
    looks -= std::min<size_t>(looks, row + 1 - hand_);
    hand_ = size_t{row} + 1;
    if (row >= arena_.rows() || arena_.IsFree(row) || IsPinned(row)) continue;
    if (row < uses_.size() && uses_[row] > 0) {
      --uses_[row];
      continue;
    }
    EvictRow(row);
    ++evicted;
  }
  return evicted;
}

void TableShard::EvictRow(uint32_t row) {
  const Key key = HeaderOf(arena_.Row(row)).key;
  cold_checksum_ += HashOf(arena_.Row(row));
  index_.Erase(RowIndex::HashOf(key), row);
  arena_.Free(row);
  flushing_[row / 64] |= uint64_t{1} << (row % 64);  // Evict looks past it
  cold_.Insert(key);
}

absl::Status TableShard::FetchBack(absl::Span<const uint8_t> record) {
  PARAMO_RETURN_IF_ERROR(CheckRecord(record));
  RowHeader header;
  std::memcpy(&header, record.data(), sizeof(header));
  if (!cold_.Erase(header.key)) return absl::OkStatus();
  const uint32_t row = TakeRow();
  std::memcpy(arena_.Row(row), record.data(), record.size());
  cold_checksum_ -= HashOf(arena_.Row(row));
  Link(header.key, row);
  return absl::OkStatus();
}

}  // namespace paramo
