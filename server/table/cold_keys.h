// Which rows of a table only the store has. Exact, so that a key that is not
// here was never pushed: it needs no look into the store, and a row that the
// store does not give back is known to be lost. About 14 bytes per row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "common/base/ids.h"
#include "common/base/random.h"

namespace paramo {

// In parts, so that the growth of one of them, which moves it whole, holds the
// strand for 1/64 of the time. Threads: one at a time.
class ColdKeys {
 public:
  size_t size() const { return size_; }
  bool Contains(Key key) const {
    return size_ > 0 && PartOf(key).contains(key);
  }
  void Insert(Key key) {
    if (parts_.empty()) parts_.resize(kParts);
    size_ += PartOf(key).insert(key).second ? 1 : 0;
  }
  // False: it was not here.
  bool Erase(Key key) {
    const bool erased = size_ > 0 && PartOf(key).erase(key) > 0;
    size_ -= erased ? 1 : 0;
    return erased;
  }
  void ForEach(absl::FunctionRef<void(Key)> visit) const {
    for (const Part& part : parts_) {
      for (const Key key : part) visit(key);
    }
  }
  size_t bytes() const {
    size_t slots = 0;
    for (const Part& part : parts_) slots += part.capacity();
    return slots * (sizeof(Key) + 1);  // and a byte of the hash
  }

 private:
  using Part = absl::flat_hash_set<Key>;
  static constexpr size_t kParts = 64;

  Part& PartOf(Key key) { return parts_[Mix64(key) % kParts]; }
  const Part& PartOf(Key key) const { return parts_[Mix64(key) % kParts]; }

  std::vector<Part> parts_;  // none before the first Insert
  size_t size_ = 0;
};

}  // namespace paramo
