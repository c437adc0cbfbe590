// The rows' memory: fixed-size records in blocks, so that the address of a row
// never changes and nothing is copied when a table grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "server/table/row.h"

namespace paramo {

inline constexpr uint32_t kNoRow = ~uint32_t{0};

struct FreeBlock {
  void operator()(std::byte* block) const { std::free(block); }
};
using Block = std::unique_ptr<std::byte, FreeBlock>;

// Uninitialised memory, 64-byte aligned; from 2 MiB on it asks for huge pages,
// which more than double random row access in large tables.
Block AllocateBlock(size_t bytes);

// Rows are numbered from 0 in order of Append; a number that is freed is used
// again. Threads: one at a time.
//
// Numbers map to addresses through a directory of units of 2^k rows (about
// 32 KiB each); units are allocated several at once as the table grows, half
// as much as there is already, between one unit and 4 MiB. So a small table
// stays small although it has one arena per shard.
class RowArena {
 public:
  explicit RowArena(size_t stride);

  // Shapes: `row` < rows(). Cost: one read of the (small) directory.
  std::byte* Row(uint32_t row) {
    return units_[row >> unit_shift_] + size_t{row & unit_mask_} * stride_;
  }
  const std::byte* Row(uint32_t row) const {
    return const_cast<RowArena*>(this)->Row(row);
  }

  // Adds row number rows(), uninitialised.
  std::byte* Append() {
    if (rows_ == units_.size() << unit_shift_) Grow();
    return Row(static_cast<uint32_t>(rows_++));
  }

  // The number of a row to be filled, header first: a freed one if there is.
  uint32_t Take();

  // Its record is gone; its memory waits for the next Take.
  void Free(uint32_t row);
  bool IsFree(uint32_t row) const { return HeaderOf(Row(row)).lsn == kFreed; }

  // Numbers are below it, freed ones too.
  uint64_t rows() const { return rows_; }
  uint64_t freed() const { return freed_; }
  size_t bytes() const { return bytes_; }

 private:
  // What a freed row has for its lsn; its key is the number of the next one.
  static constexpr Lsn kFreed = ~Lsn{0};

  void Grow();

  const size_t stride_;
  const uint32_t unit_shift_;
  const uint32_t unit_mask_;
  std::vector<std::byte*> units_;
  std::vector<Block> blocks_;
  uint64_t rows_ = 0;
  uint64_t freed_ = 0;
  uint32_t first_freed_ = kNoRow;
  size_t bytes_ = 0;
};

}  // namespace paramo
