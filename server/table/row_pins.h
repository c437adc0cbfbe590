// Keeps rows of a table in memory for as long as somebody is to use them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace paramo {

// How many hold each row, by row number. Outlives the table if pins do.
using PinCounts = std::vector<uint32_t>;

// Made by TableShard::Pin. Threads: the shard's strand.
class RowPins {
 public:
  RowPins() = default;
  RowPins(std::shared_ptr<PinCounts> counts, std::vector<uint32_t> rows)
      : counts_(std::move(counts)), rows_(std::move(rows)) {}
  RowPins(RowPins&& other) noexcept = default;
  RowPins& operator=(RowPins&& other) noexcept {
    Release();
    counts_ = std::move(other.counts_);
    rows_ = std::move(other.rows_);
    return *this;
  }
  ~RowPins() { Release(); }

  void Release() {
    if (counts_ == nullptr) return;
    for (const uint32_t row : rows_) --(*counts_)[row];
    counts_.reset();
    rows_.clear();
  }
  // Of the same table, or of none.
  void Add(RowPins&& more) {
    if (rows_.empty()) {
      *this = std::move(more);
      return;
    }
    rows_.insert(rows_.end(), more.rows_.begin(), more.rows_.end());
    more.counts_.reset();
  }
  size_t size() const { return rows_.size(); }

 private:
  std::shared_ptr<PinCounts> counts_;  // null: holds nothing
  std::vector<uint32_t> rows_;
};

}  // namespace paramo
