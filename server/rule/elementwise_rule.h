// The loop around rules that treat the elements of a row alike. A rule supplies
// a kernel:
//
//   struct Kernel {
//     static constexpr uint32_t kSlots;  // those of one float per element
//     struct Step {                    // constants of one row's step
//       // state[0] is the value, state[1 + k] slot k; both are replaced.
//       void Scalar(float grad, float* state) const;    // defines the answer
//       template <class D, class V>
//       void Vector(D d, V grad, V* state) const;       // the same bits
//     };
//     static constexpr bool kCountsSteps;  // whether rows count their steps
//     Step AtStep(uint32_t step,           // `step` counts from 1; 0 if not
//                 double lr_scale) const;
//
//     // Only where the row as a whole has slots, behind the others: replaces
//     // them, and gives the constants for this row.
//     static constexpr uint32_t kRowSlots;
//     Step AtRow(Step step, double sum_of_squares,  // of the gradient
//                uint32_t dim, float* row_slots) const;
//   };
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/base/simd.h"
#include "server/rule/reduce.h"
#include "server/rule/row_header.h"
#include "server/rule/rule.h"

namespace paramo {

template <class Kernel>
constexpr uint32_t RowSlotsOf() {
  if constexpr (requires { Kernel::kRowSlots; }) {
    return Kernel::kRowSlots;
  } else {
    return 0;
  }
}

template <class Kernel>
class ElementwiseRule final : public Rule {
 public:
  ElementwiseRule(RuleInfo info, Kernel kernel)
      : info_(std::move(info)), kernel_(kernel) {
    PARAMO_CHECK(info_.SlotFloats(/*dim=*/9) == StateFloats(9) - 9);
  }

  const RuleInfo& info() const override { return info_; }
  uint32_t Apply(const RuleBatch& batch) const override {
    return ForEachRow<hn::ScalableTag<float>>(batch);
  }
  uint32_t ApplyScalar(const RuleBatch& batch) const override {
    return ForEachRow<ScalarLanes>(batch);
  }
  uint32_t ApplyAtWidth(const RuleBatch& batch, uint32_t lanes) const override {
    PARAMO_CHECK(lanes == 1 || lanes == 4 || lanes == 8);
    return lanes == 1   ? ForEachRow<hn::CappedTag<float, 1>>(batch)
           : lanes == 4 ? ForEachRow<hn::CappedTag<float, 4>>(batch)
                        : ForEachRow<hn::CappedTag<float, 8>>(batch);
  }

 private:
  using Step = typename Kernel::Step;
  static constexpr size_t kArrays = 1 + Kernel::kSlots;
  static constexpr size_t kRowSlots = RowSlotsOf<Kernel>();

  // Of value and slots.
  static constexpr size_t StateFloats(uint32_t dim) {
    return kArrays * dim + kRowSlots;
  }

  // The next state of a row is computed beside it and copied over it only when
  // all of it is finite. 2048 floats = 8 KiB stay in L1 and cover Adam at dim
  // 682; wider rows pay one allocation per batch.
  static constexpr size_t kStackFloats = 2048;

  // Four rows of some 50 ns each hide a miss of memory.
  static constexpr size_t kRowsAhead = 4;

  // `Lanes` is ScalarLanes or a Highway tag of f32.
  template <class Lanes>
  uint32_t ForEachRow(const RuleBatch& batch) const;

  // Each computes a row's next state and returns whether it is finite.
  template <class Lanes>
  bool Row(const Step& step, const float* state, const float* grad,
           uint32_t dim, float* next) const;
  template <class D>
  static bool VectorRange(const Step& step, const float* state,
                          const float* grad, uint32_t dim, float* next);
  static bool ScalarRange(const Step& step, const float* state,
                          const float* grad, uint32_t dim, size_t begin,
                          float* next);
  static void PrefetchRow(const std::byte* row, const float* grad,
                          uint32_t dim);

  const RuleInfo info_;
  const Kernel kernel_;
};

template <class Kernel>
template <class Lanes>
uint32_t ElementwiseRule<Kernel>::ForEachRow(const RuleBatch& batch) const {
  const size_t floats = StateFloats(batch.dim);
  alignas(64) float on_stack[kStackFloats];
  std::unique_ptr<float[]> on_heap;
  float* next = on_stack;
  if (floats > kStackFloats) {
    on_heap.reset(new float[floats]);
    next = on_heap.get();
  }

  uint32_t skipped = 0;
  uint32_t step_number = 0;  // of `step`
  Step step = kernel_.AtStep(Kernel::kCountsSteps ? 1 : 0, batch.lr_scale);
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
        step = kernel_.AtStep(number, batch.lr_scale);
      }
    }
    if (Row<Lanes>(step, state, batch.grads[i], batch.dim, next)) {
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
template <class Lanes>
bool ElementwiseRule<Kernel>::Row(const Step& step, const float* state,
                                  const float* grad, uint32_t dim,
                                  float* next) const {
  Step of_row = step;
  bool finite = true;
  if constexpr (kRowSlots > 0) {
    float* row_slots = next + kArrays * dim;
    std::memcpy(row_slots, state + kArrays * dim, kRowSlots * sizeof(float));
    of_row =
        kernel_.AtRow(step, SumOfSquares<Lanes>(grad, dim), dim, row_slots);
    for (size_t k = 0; k < kRowSlots; ++k) {
      finite = finite && std::isfinite(row_slots[k]);
    }
  }
  if constexpr (std::is_same_v<Lanes, ScalarLanes>) {
    return ScalarRange(of_row, state, grad, dim, /*begin=*/0, next) && finite;
  } else {
    return VectorRange<Lanes>(of_row, state, grad, dim, next) && finite;
  }
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
template <class D>
bool ElementwiseRule<Kernel>::VectorRange(const Step& step, const float* state,
                                          const float* grad, uint32_t dim,
                                          float* next) {
  const D d;
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
    step.Vector(d, LoadFloats(d, grad + i), element);
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
  const size_t row_bytes = sizeof(RowHeader) + StateFloats(dim) * sizeof(float);
  for (size_t at = 0; at < row_bytes && at < kBytesMax; at += 64) {
    __builtin_prefetch(row + at, /*rw=*/1);
  }
  const auto* grad_bytes = reinterpret_cast<const std::byte*>(grad);
  for (size_t at = 0; at < dim * sizeof(float) && at < kBytesMax; at += 64) {
    __builtin_prefetch(grad_bytes + at);
  }
}

}  // namespace paramo
