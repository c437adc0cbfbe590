#include "server/table/distinct.h"

#include <algorithm>
#include <cstring>

#include "common/base/random.h"

namespace paramo {
namespace {

// Scratch up to this size is kept for the next push.
constexpr size_t kKeptBytesMax = size_t{256} << 10;

bool StrictlyAscending(absl::Span<const Key> keys) {
  for (size_t i = 1; i < keys.size(); ++i) {
    if (keys[i - 1] >= keys[i]) return false;
  }
  return true;
}

// sum += grad, whose alignment may be any.
void Add(const float* grad, uint32_t dim, float* sum) {
  for (uint32_t i = 0; i < dim; ++i) {
    float value;
    std::memcpy(&value, reinterpret_cast<const char*>(grad) + i * sizeof(float),
                sizeof(float));
    sum[i] += value;
  }
}

}  // namespace

void DistinctKeys::Set(absl::Span<const Key> keys, const float* const* grads,
                       uint32_t dim, const Codec& codec) {
  keys_ = keys;
  grads_ = grads;
  codec_ = &codec;
  if (StrictlyAscending(keys)) return;
  FindDistinct(keys);
  if (distinct_.size() == keys.size()) return;
  SumDuplicates(grads, dim, codec);
  codec_ = &F32();
  keys_ = distinct_;
  grads_ = sums_of_.data();
}

void DistinctKeys::FindDistinct(absl::Span<const Key> keys) {
  size_t slots = 16;
  while (slots < 2 * keys.size()) slots *= 2;
  slots_.assign(slots, 0);
  distinct_.clear();
  position_.resize(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    size_t slot = Mix64(keys[i]) & (slots - 1);
    while (slots_[slot] != 0 && distinct_[slots_[slot] - 1] != keys[i]) {
      slot = (slot + 1) & (slots - 1);
    }
    if (slots_[slot] == 0) {
      distinct_.push_back(keys[i]);
      slots_[slot] = static_cast<uint32_t>(distinct_.size());
    }
    position_[i] = slots_[slot] - 1;
  }
}

void DistinctKeys::SumDuplicates(const float* const* grads, uint32_t dim,
                                 const Codec& codec) {
  // Each duplicate belongs to one of the distinct keys: no more rows of sums
  // are needed than there are of either.
  const size_t duplicates = position_.size() - distinct_.size();
  const size_t rows = codec.in_place ? std::min(duplicates, distinct_.size())
                                     : distinct_.size();
  sums_.resize(rows * dim);
  std::vector<float> decoded(codec.in_place ? 0 : dim);
  sums_of_.clear();
  own_sum_.assign(distinct_.size(), nullptr);
  float* next_sum = sums_.data();
  for (size_t i = 0; i < position_.size(); ++i) {
    const size_t at = position_[i];
    if (at == sums_of_.size()) {  // the first of its key
      sums_of_.push_back(codec.Floats(grads[i], dim, 1, next_sum));
      if (sums_of_[at] != next_sum) continue;
      own_sum_[at] = next_sum;
      next_sum += dim;
      continue;
    }
    float*& sum = own_sum_[at];
    if (sum == nullptr) {
      sum = next_sum;
      next_sum += dim;
      std::memcpy(sum, sums_of_[at], dim * sizeof(float));
      sums_of_[at] = sum;
    }
    Add(codec.Floats(grads[i], dim, 1, decoded.data()), dim, sum);
  }
}

void DistinctKeys::Trim() {
  keys_ = {};
  grads_ = nullptr;
  if (bytes() > kKeptBytesMax) *this = DistinctKeys();
}

size_t DistinctKeys::bytes() const {
  return slots_.capacity() * sizeof(uint32_t) +
         distinct_.capacity() * sizeof(Key) +
         position_.capacity() * sizeof(uint32_t) +
         (sums_of_.capacity() + own_sum_.capacity()) * sizeof(float*) +
         sums_.capacity() * sizeof(float);
}

}  // namespace paramo
