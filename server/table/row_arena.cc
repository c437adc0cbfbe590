#include "server/table/row_arena.h"

#include <sys/mman.h>

#include <algorithm>

#include "common/base/check.h"

namespace paramo {
namespace {

constexpr size_t kUnitBytes = size_t{32} << 10;
constexpr size_t kGrowthBytesMax = size_t{4} << 20;
constexpr size_t kHugePageBytes = size_t{2} << 20;

// The largest k with 2^k rows within a unit; wide rows have units of one.
uint32_t UnitShift(size_t stride) {
  uint32_t shift = 0;
  while ((stride << (shift + 1)) <= kUnitBytes) ++shift;
  return shift;
}

}  // namespace

Block AllocateBlock(size_t bytes) {
  const size_t alignment = bytes >= kHugePageBytes ? kHugePageBytes : 64;
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  auto* block = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  // Linux overcommits: this fails only when the address space is exhausted,
  // and then nothing sensible is left to do.
  PARAMO_CHECK(block != nullptr);
  if (alignment == kHugePageBytes) {
    // A refusal costs speed, nothing else.
    (void)madvise(block, rounded, MADV_HUGEPAGE);
  }
  return Block(block);
}

RowArena::RowArena(size_t stride)
    : stride_(stride),
      unit_shift_(UnitShift(stride)),
      unit_mask_((uint32_t{1} << unit_shift_) - 1) {}

uint32_t RowArena::Take() {
  if (freed_ == 0) {
    Append();
    return static_cast<uint32_t>(rows_ - 1);
  }
  const uint32_t row = first_freed_;
  first_freed_ = static_cast<uint32_t>(HeaderOf(Row(row)).key);
  --freed_;
  return row;
}

void RowArena::Free(uint32_t row) {
  HeaderOf(Row(row)).key = first_freed_;
  HeaderOf(Row(row)).lsn = kFreed;
  first_freed_ = row;
  ++freed_;
}

void RowArena::Grow() {
  const size_t unit_bytes = stride_ << unit_shift_;
  const size_t growth_max = std::max<size_t>(1, kGrowthBytesMax / unit_bytes);
  const size_t growth = std::clamp<size_t>(units_.size() / 2, 1, growth_max);
  blocks_.push_back(AllocateBlock(growth * unit_bytes));
  for (size_t i = 0; i < growth; ++i) {
    units_.push_back(blocks_.back().get() + i * unit_bytes);
  }
  bytes_ += growth * unit_bytes;
}

}  // namespace paramo
