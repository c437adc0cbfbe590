#include "server/rule/finite.h"

#include <cmath>

#include "common/base/simd.h"
#include "server/rule/reduce.h"

namespace paramo {

bool AllFinite(const float* values, size_t n) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto zero = hn::Zero(d);
  // 0 x NaN and 0 x inf are NaN, and a sum keeps a NaN. Four sums, because
  // one would wait four cycles for itself at every step.
  auto poison0 = zero, poison1 = zero, poison2 = zero, poison3 = zero;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    const float* at = values + i;
    poison0 = hn::MulAdd(hn::LoadU(d, at), zero, poison0);
    poison1 = hn::MulAdd(hn::LoadU(d, at + lanes), zero, poison1);
    poison2 = hn::MulAdd(hn::LoadU(d, at + 2 * lanes), zero, poison2);
    poison3 = hn::MulAdd(hn::LoadU(d, at + 3 * lanes), zero, poison3);
  }
  float rest = 0;
  for (; i < n; ++i) rest = std::fma(LoadFloat(values, i), 0.0f, rest);
  const auto poison =
      hn::Add(hn::Add(poison0, poison1), hn::Add(poison2, poison3));
  return hn::AllTrue(d, hn::Eq(poison, zero)) && rest == 0;
}

size_t FirstNonFiniteRow(const float* const* grads, size_t n, uint32_t dim) {
  for (size_t i = 0; i < n; ++i) {
    if (!AllFinite(grads[i], dim)) return i;
  }
  return n;
}

void ClipGradient(const float* in, float clip, uint32_t dim, float* out) {
  for (uint32_t i = 0; i < dim; ++i) {
    const float value = LoadFloat(in, i);
    if (std::isnan(value)) {
      out[i] = 0;
    } else {
      out[i] = value > clip ? clip : value < -clip ? -clip : value;
    }
  }
}

void ClipFinite(float max, uint32_t dim, float* grad) {
  for (uint32_t i = 0; i < dim; ++i) {
    if (std::isfinite(grad[i]) && std::fabs(grad[i]) > max) {
      grad[i] = std::copysign(max, grad[i]);
    }
  }
}

void ClipNorm(float max, uint32_t dim, float* grad) {
  const double norm =
      std::sqrt(SumOfSquares<hn::ScalableTag<float>>(grad, dim));
  if (!(norm > max)) return;  // a NaN stays for the rule to see
  const double factor = max / norm;
  for (uint32_t i = 0; i < dim; ++i) {
    grad[i] = static_cast<float>(grad[i] * factor);
  }
}

}  // namespace paramo
