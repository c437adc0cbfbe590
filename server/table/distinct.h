// Sums the gradients of keys that a push names more than once, so that the
// rule sees every row once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "common/base/ids.h"
#include "common/codec/codec.h"

namespace paramo {

// Scratch that is used again from push to push. Threads: one at a time.
class DistinctKeys {
 public:
  // Shapes:  keys [n]; grads [n], rows of dim in `codec` at any alignment. Both
  //          must outlive the use of keys() and grads().
  // Effects: keys() are the distinct keys in order of first appearance;
  //          grads() their gradients, where duplicates are added in the order
  //          given, in f32. Keys without duplicates pass through untouched;
  //          with some, all gradients become f32: codec() is that of grads().
  // Cost:    strictly ascending: one comparison per key; else about 5 ns per
  //          key, and one pass over the duplicates' gradients.
  void Set(absl::Span<const Key> keys, const float* const* grads, uint32_t dim,
           const Codec& codec = F32());

  absl::Span<const Key> keys() const { return keys_; }
  const float* const* grads() const { return grads_; }
  const Codec& codec() const { return *codec_; }

  // Gives back scratch that an unusually large push left behind.
  void Trim();
  size_t bytes() const;

 private:
  // Fills distinct_ and position_[i] = index of keys[i] in it.
  void FindDistinct(absl::Span<const Key> keys);
  void SumDuplicates(const float* const* grads, uint32_t dim,
                     const Codec& codec);

  absl::Span<const Key> keys_;
  const float* const* grads_ = nullptr;
  const Codec* codec_ = &F32();

  std::vector<uint32_t> slots_;  // hash table of index + 1 into distinct_
  std::vector<Key> distinct_;
  std::vector<uint32_t> position_;
  std::vector<const float*> sums_of_;  // per distinct key: grads()
  std::vector<float*> own_sum_;        // its row of sums_, null if it has none
  // One row per key with duplicates; per key when gradients are decoded.
  std::vector<float> sums_;
};

}  // namespace paramo
