// TableShard: life, write-behind and reading; table_apply.cc and
// table_gather.cc have the data path, table_evict.cc the memory budget.
#include "server/table/table_shard.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status.h"
#include "common/hash/hash128.h"
#include "server/rule/finite.h"

namespace paramo {
namespace {

// Prepared gradients of one batch stay within 1 MiB, or are one row.
constexpr size_t kBatchBytes = size_t{1} << 20;

}  // namespace

TableShard::TableShard(TableConfig config, ShardId shard, uint64_t rows_max)
    : config_(std::move(config)),
      shard_(shard),
      rows_max_(rows_max),
      layout_(config_.dim, config_.rule->info().SlotFloats(config_.dim)),
      batch_rows_(std::clamp<size_t>(kBatchBytes / layout_.record_bytes(), 1,
                                     kBatchRows)),
      arena_(layout_.stride()) {
  PARAMO_CHECK(config_.dim > 0 && config_.dim <= kDimMax);
  PARAMO_CHECK(rows_max_ <= kRowsPerShardTableMax);
}

absl::Status TableShard::SetConfig(TableConfig config) {
  if (config.id != config_.id || config.dim != config_.dim ||
      config.seed != config_.seed ||
      !(config.initializer == config_.initializer)) {
    return absl::InvalidArgumentError(
        absl::StrCat("table ", config_.name,
                     ": id, dim, initializer and seed are fixed for "
                     "its life; create another table"));
  }
  const RuleInfo &now = config_.rule->info(), &next = config.rule->info();
  if (next.SlotsText() != now.SlotsText()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "table ", config_.name, ": rule ", next.name, " has the slots ",
        next.SlotsText(), ", but the rows have those of rule ", now.name, ", ",
        now.SlotsText(), "; create another table"));
  }
  config_ = std::move(config);
  return absl::OkStatus();
}

// ---- Write-behind -----------------------------------------------------------

size_t TableShard::CollectDirty(
    size_t rows_max,
    absl::FunctionRef<void(absl::Span<const uint8_t> record)> take) {
  size_t taken = 0;
  while (taken < rows_max && sweep_cursor_ < sweep_end_) {
    const size_t word = sweep_cursor_ / 64;
    const uint64_t ahead =
        dirty_[word] & (~uint64_t{0} << (sweep_cursor_ % 64));
    if (ahead == 0) {
      sweep_cursor_ = (word + 1) * 64;
      continue;
    }
    const auto row = static_cast<uint32_t>(word * 64 + __builtin_ctzll(ahead));
    sweep_cursor_ = size_t{row} + 1;
    if (row >= sweep_end_) break;
    take(RecordOf(row));
    SetClean(row);
    flushing_[word] |= uint64_t{1} << (row % 64);
    in_flush_.push_back(row);
    ++taken;
  }
  return taken;
}

void TableShard::FlushSettled(bool stored) {
  for (const uint32_t row : in_flush_) {
    flushing_[row / 64] &= ~(uint64_t{1} << (row % 64));
    if (!stored) SetDirty(row);
  }
  in_flush_.clear();
}

// Of a record as the store, or a peer, gives it.
absl::Status TableShard::CheckRecord(absl::Span<const uint8_t> record) const {
  if (record.size() != layout_.record_bytes()) {
    return absl::DataLossError(absl::StrCat(
        "a stored row of table ", config_.name, " has ", record.size(),
        " bytes instead of ", layout_.record_bytes(),
        "; the data directory is damaged or belongs to another table"));
  }
  RowHeader header;
  std::memcpy(&header, record.data(), sizeof(header));
  const auto* floats =
      reinterpret_cast<const float*>(record.data() + sizeof(header));
  if (AllFinite(floats, (record.size() - sizeof(header)) / sizeof(float))) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(
      "the stored row of key ", header.key, " of table ", config_.name,
      " holds a NaN or an infinity; the data directory is damaged"));
}

absl::Status TableShard::Restore(absl::Span<const uint8_t> record) {
  PARAMO_RETURN_IF_ERROR(CheckRecord(record));
  RowHeader header;
  std::memcpy(&header, record.data(), sizeof(header));
  if (IsCold(header.key)) {
    return absl::DataLossError(absl::StrCat("the row of key ", header.key,
                                            " of table ", config_.name,
                                            " comes twice"));
  }
  const uint32_t row =
      index_.Find(header.key, RowIndex::HashOf(header.key), arena_);
  if (row != kNoRow) {
    std::byte* held = arena_.Row(row);
    if (header.lsn <= HeaderOf(held).lsn) return absl::OkStatus();
    checksum_ -= HashOf(held);
    std::memcpy(held, record.data(), record.size());
    checksum_ += HashOf(held);
    newest_lsn_ = std::max(newest_lsn_, header.lsn);
    SetClean(row);
    return absl::OkStatus();
  }
  if (rows() >= rows_max_) return CheckRoom({&header.key, 1});
  const uint32_t added = TakeRow();
  std::memcpy(arena_.Row(added), record.data(), record.size());
  checksum_ += HashOf(arena_.Row(added));
  newest_lsn_ = std::max(newest_lsn_, header.lsn);
  Link(header.key, added);
  return absl::OkStatus();
}

uint32_t TableShard::TakeRow() {
  const uint32_t row = arena_.Take();
  if (row / 64 == dirty_.size()) {
    for (auto* bits : {&dirty_, &flushing_}) bits->push_back(0);
  }
  flushing_[row / 64] &= ~(uint64_t{1} << (row % 64));
  return row;
}

void TableShard::Link(Key key, uint32_t row) {
  index_.Insert(RowIndex::HashOf(key), row, arena_);
}

void TableShard::SetDirty(uint32_t row) {
  const uint64_t bit = uint64_t{1} << (row % 64);
  dirty_count_ += (dirty_[row / 64] & bit) == 0 ? 1 : 0;
  dirty_[row / 64] |= bit;
}

void TableShard::SetClean(uint32_t row) {
  const uint64_t bit = uint64_t{1} << (row % 64);
  dirty_count_ -= (dirty_[row / 64] & bit) != 0 ? 1 : 0;
  dirty_[row / 64] &= ~bit;
}

// ---- Reading ----------------------------------------------------------------

const std::byte* TableShard::Find(Key key) const {
  const uint32_t row = index_.Find(key, RowIndex::HashOf(key), arena_);
  return row == kNoRow ? nullptr : arena_.Row(row);
}

absl::Span<const uint8_t> TableShard::RecordOf(uint32_t row) const {
  return {reinterpret_cast<const uint8_t*>(arena_.Row(row)),
          layout_.record_bytes()};
}

void TableShard::ForEachRow(
    absl::FunctionRef<void(absl::Span<const uint8_t> record)> visit) const {
  for (uint64_t row = 0; row < row_numbers(); ++row) {
    const absl::Span<const uint8_t> record = RecordAt(row);
    if (!record.empty()) visit(record);
  }
}

void TableShard::ForEachKey(absl::FunctionRef<void(Key)> visit) const {
  for (uint32_t row = 0; row < row_numbers(); ++row) {
    if (!arena_.IsFree(row)) visit(HeaderOf(arena_.Row(row)).key);
  }
  cold_.ForEach(visit);
}

std::vector<Key> TableShard::Keys(Key from, size_t limit) const {
  std::vector<Key> keys;  // a heap of the smallest so far, the largest on top
  if (limit == 0) return keys;
  ForEachKey([&](Key key) {
    if (key < from || (keys.size() == limit && key >= keys.front())) return;
    if (keys.size() == limit) {
      std::pop_heap(keys.begin(), keys.end());
      keys.pop_back();
    }
    keys.push_back(key);
    std::push_heap(keys.begin(), keys.end());
  });
  std::sort_heap(keys.begin(), keys.end());
  return keys;
}

uint64_t TableShard::Checksum() const {
  uint64_t sum = cold_checksum_;
  std::vector<std::byte> copy(layout_.record_bytes());
  ForEachRow([&](absl::Span<const uint8_t> record) {
    std::memcpy(copy.data(), record.data(), copy.size());
    sum += HashOf(copy.data());
  });
  return sum;
}

// Of the record without its last use, which is set aside meanwhile.
uint64_t TableShard::HashOf(std::byte* row) const {
  const uint32_t last_use = std::exchange(HeaderOf(row).last_use, 0);
  const uint64_t hash = HashBytes64(row, layout_.record_bytes());
  HeaderOf(row).last_use = last_use;
  return hash;
}

size_t TableShard::bytes() const {
  return arena_.bytes() + index_.bytes() + cold_.bytes() +
         2 * dirty_.capacity() * 8 + uses_.capacity() +
         pins_->capacity() * sizeof(uint32_t) + distinct_.bytes() +
         (decoded_.capacity() + prepared_.capacity()) * sizeof(float);
}

}  // namespace paramo
