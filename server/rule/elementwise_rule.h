// The loop around rules that treat every element alike. A rule supplies a
// kernel:
//
//   struct Kernel {
//     static constexpr uint32_t kSlots;
//     struct Step {                    // constants of one row's step
//       // state[0] is the value, state[1 + k] slot k; both are replaced.
//       void Scalar(float grad, float* state) const;    // defines the answer
//       template <class D, class V>
//       void Vector(D d, V grad, V* state) const;       // the same bits
//     };
//     static constexpr bool kCountsSteps;  // whether rows count their steps
//     Step AtStep(uint32_t step) const;    // `step` counts from 1; 0 if not
//   };
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "server/rule/row_header.h"
#include "server/rule/rule.h"
#include "server/rule/simd.h"

namespace paramo {

template <class Kernel>
class ElementwiseRule final : public Rule {
 public:
  ElementwiseRule(RuleInfo info, Kernel kernel)
      : info_(std::move(info)), kernel_(kernel) {}

  const RuleInfo& info() const override { return info_; }
  uint32_t Apply(const RuleBatch& batch) const override {
    return ForEachRow<VectorRow>(batch);
  }
  uint32_t ApplyScalar(const RuleBatch& batch) const override {
    return ForEachRow<ScalarRow>(batch);
  }

 private:
  using Step = typename Kernel::Step;
  static constexpr size_t kArrays = 1 + Kernel::kSlots;

  // The next state of a row is computed beside it and copied over it only when
  // all of it is finite. 2048 floats = 8 KiB stay in L1 and cover Adam at dim
  // 682; wider rows pay one allocation per batch.
  static constexpr size_t kStackFloats = 2048;

  // Four rows of some 50 ns each hide a miss of memory.
  static constexpr size_t kRowsAhead = 4;

  using RowFn = bool (*)(const Step&, const float* state, const float* grad,
                         uint32_t dim, float* next);

  template <RowFn kRow>
  uint32_t ForEachRow(const RuleBatch& batch) const;

  static bool ScalarRow(const Step& step, const float* state, const float* grad,
                        uint32_t dim, float* next);
  static bool VectorRow(const Step& step, const float* state, const float* grad,
                        uint32_t dim, float* next);
  static bool ScalarRange(const Step& step, const float* state,
                          const float* grad, uint32_t dim, size_t begin,
                          float* next);
  static void PrefetchRow(const std::byte* row, const float* grad,
                          uint32_t dim);

  const RuleInfo info_;
  const Kernel kernel_;
};

template <class Kernel>
template <typename ElementwiseRule<Kernel>::RowFn kRow>
uint32_t ElementwiseRule<Kernel>::ForEachRow(const RuleBatch& batch) const {
  const size_t floats = kArrays * batch.dim;
  alignas(64) float on_stack[kStackFloats];
  std::unique_ptr<float[]> on_heap;
  float* next = on_stack;
  if (floats > kStackFloats) {
    on_heap.reset(new float[floats]);
    next = on_heap.get();
  }

  uint32_t skipped = 0;
  uint32_t step_number = 0;  // of `step`
  Step step = kernel_.AtStep(Kernel::kCountsSteps ? 1 : 0);
  if (Kernel::kCountsSteps) step_number = 1;
  for (size_t i = 0; i < batch.n; ++i) {
    if (i + kRowsAhead < batch.n) {
      PrefetchRow(batch.rows[i + kRowsAhead], batch.grads[i + kRowsAhead],
                  batch.dim);
    }
    std::byte* row = batch.rows[i];
    auto* header = reinterpret_cast<RowHeader*>(row);
    auto* state = reinterpret_cast<float*>(row + sizeof(RowHeader));
    if (Kernel::kCountsSteps) {
      const uint32_t number =
          header->step +
          (header->step < std::numeric_limits<uint32_t>::max() ? 1 : 0);
      if (number != step_number) {
        step_number = number;
        step = kernel_.AtStep(number);
      }
    }
    if (kRow(step, state, batch.grads[i], batch.dim, next)) {
      std::memcpy(state, next, floats * sizeof(float));
      if (Kernel::kCountsSteps) header->step = step_number;
    } else {
      ++skipped;
      if (batch.skipped != nullptr) batch.skipped[i] = true;
    }
  }
  return skipped;
}

template <class Kernel>
bool ElementwiseRule<Kernel>::ScalarRow(const Step& step, const float* state,
                                        const float* grad, uint32_t dim,
                                        float* next) {
  return ScalarRange(step, state, grad, dim, /*begin=*/0, next);
}

// Elements [begin, dim): the whole row of the scalar twin, the tail of the
// vector loop.
template <class Kernel>
bool ElementwiseRule<Kernel>::ScalarRange(const Step& step, const float* state,
                                          const float* grad, uint32_t dim,
                                          size_t begin, float* next) {
  bool finite = true;
  for (size_t i = begin; i < dim; ++i) {
    float element[kArrays];
    for (size_t k = 0; k < kArrays; ++k) element[k] = state[k * dim + i];
    step.Scalar(LoadFloat(grad, i), element);
    for (size_t k = 0; k < kArrays; ++k) {
      next[k * dim + i] = element[k];
      finite = finite && std::isfinite(element[k]);
    }
  }
  return finite;
}

template <class Kernel>
bool ElementwiseRule<Kernel>::VectorRow(const Step& step, const float* state,
                                        const float* grad, uint32_t dim,
                                        float* next) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const V zero = hn::Zero(d);
  V poison = zero;  // 0 x NaN and 0 x inf are NaN, and a sum keeps a NaN
  size_t i = 0;
  for (; i + lanes <= dim; i += lanes) {
    V element[kArrays];
    for (size_t k = 0; k < kArrays; ++k) {
      element[k] = hn::LoadU(d, state + k * dim + i);
    }
    step.Vector(d, hn::LoadU(d, grad + i), element);
    for (size_t k = 0; k < kArrays; ++k) {
      hn::StoreU(element[k], d, next + k * dim + i);
      poison = hn::MulAdd(element[k], zero, poison);
    }
  }
  const bool finite = hn::AllTrue(d, hn::Eq(poison, zero));
  return ScalarRange(step, state, grad, dim, i, next) && finite;
}

template <class Kernel>
void ElementwiseRule<Kernel>::PrefetchRow(const std::byte* row,
                                          const float* grad, uint32_t dim) {
  // Beyond 2 KiB the processor's own prefetcher has found the stream.
  constexpr size_t kBytesMax = 2048;
  const size_t row_bytes = sizeof(RowHeader) + kArrays * dim * sizeof(float);
  for (size_t at = 0; at < row_bytes && at < kBytesMax; at += 64) {
    __builtin_prefetch(row + at, /*rw=*/1);
  }
  const auto* grad_bytes = reinterpret_cast<const std::byte*>(grad);
  for (size_t at = 0; at < dim * sizeof(float) && at < kBytesMax; at += 64) {
    __builtin_prefetch(grad_bytes + at);
  }
}

}  // namespace paramo
