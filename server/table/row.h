// A row is one contiguous record: header, value, slots (see
// docs/formats/row.md). It is stored in memory and written to disk as it is.
//
//   0            32                32 + 4 dim
//   | RowHeader  | value [dim] f32 | slots of the rule, f32 |
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/rule/row_header.h"

namespace paramo {

// Offsets within the record of one table. Sizes fit easily: a value has at
// most kDimMax = 2^16 floats.
class RowLayout {
 public:
  // `slot_floats`: of all slots, RuleInfo::SlotFloats(dim).
  RowLayout(uint32_t dim, size_t slot_floats)
      : dim_(dim), slot_floats_(slot_floats) {}

  uint32_t dim() const { return dim_; }

  static constexpr size_t value_offset() { return sizeof(RowHeader); }
  size_t value_bytes() const { return size_t{dim_} * sizeof(float); }
  size_t slots_offset() const { return value_offset() + value_bytes(); }
  size_t record_bytes() const {
    return slots_offset() + slot_floats_ * sizeof(float);
  }

  // Distance of records in memory: 16-byte aligned, so that every row of the
  // common widths can be loaded aligned.
  size_t stride() const { return (record_bytes() + 15) & ~size_t{15}; }

 private:
  uint32_t dim_;
  size_t slot_floats_;
};

inline RowHeader& HeaderOf(std::byte* row) {
  return *reinterpret_cast<RowHeader*>(row);
}
inline const RowHeader& HeaderOf(const std::byte* row) {
  return *reinterpret_cast<const RowHeader*>(row);
}
inline float* ValueOf(std::byte* row) {
  return reinterpret_cast<float*>(row + RowLayout::value_offset());
}
inline const float* ValueOf(const std::byte* row) {
  return reinterpret_cast<const float*>(row + RowLayout::value_offset());
}

}  // namespace paramo
