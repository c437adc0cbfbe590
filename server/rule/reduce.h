// The one reduction that rules and clipping use, in one order, so that every
// machine and every SIMD width gives the same bits:
//
//   eight f64 partial sums; element i is added to number i mod 8, i ascending;
//   total = ((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))
//
// In f64, where the square of an f32 is exact and cannot overflow.
#pragma once

#include <algorithm>
#include <type_traits>

#include "common/base/simd.h"

namespace paramo {

// Says "no vectors" where a vector type is expected.
struct ScalarLanes {};

inline constexpr size_t kPartialSums = 8;

namespace internal {

// Adds the squares of whole groups of eight elements to `partial` and returns
// how many elements those are. `D` is a tag of f32; half as many f64 fit.
template <class D>
size_t AddSquares(D, const float* values, size_t n, double* partial) {
  constexpr size_t kLanesMax = std::min(kPartialSums, hn::MaxLanes(D()));
  const hn::CappedTag<double, kLanesMax> d;
  const hn::Rebind<float, decltype(d)> narrow;
  constexpr size_t kLanes = hn::MaxLanes(d);
  constexpr size_t kSums = kPartialSums / kLanes;
  static_assert(!HWY_HAVE_SCALABLE, "needs vectors of a width fixed at build");
  hn::Vec<decltype(d)> sums[kSums];
  for (auto& sum : sums) sum = hn::Zero(d);
  size_t i = 0;
  for (; i + kPartialSums <= n; i += kPartialSums) {
    for (size_t k = 0; k < kSums; ++k) {
      const auto floats = LoadFloats(narrow, values + i + k * kLanes);
      const auto x = hn::PromoteTo(d, floats);
      sums[k] = hn::MulAdd(x, x, sums[k]);
    }
  }
  for (size_t k = 0; k < kSums; ++k) {
    hn::StoreU(sums[k], d, partial + k * kLanes);
  }
  return i;
}

}  // namespace internal

// Sum of the squares of `n` f32 at `values`, at any alignment. `Lanes` is
// ScalarLanes or a Highway tag of f32.
template <class Lanes>
double SumOfSquares(const float* values, size_t n) {
  double partial[kPartialSums] = {};
  size_t i = 0;
  if constexpr (!std::is_same_v<Lanes, ScalarLanes>) {
    i = internal::AddSquares(Lanes(), values, n, partial);
  }
  for (; i < n; ++i) {
    const double x = LoadFloat(values, i);
    partial[i % kPartialSums] += x * x;
  }
  return ((partial[0] + partial[1]) + (partial[2] + partial[3])) +
         ((partial[4] + partial[5]) + (partial[6] + partial[7]));
}

}  // namespace paramo
