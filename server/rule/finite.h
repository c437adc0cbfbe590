// Checks and repairs of gradients: NaN, infinities, and what is too large.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paramo {

// Whether none of `n` f32 at `values` (any alignment) is NaN or infinite.
// Cost: one pass, 8 floats per step and more.
bool AllFinite(const float* values, size_t n);

// Index of the first of `n` gradient rows of `dim` f32 (any alignment) that
// holds a NaN or an infinity; `n` when there is none.
size_t FirstNonFiniteRow(const float* const* grads, size_t n, uint32_t dim);

// out[i] = in[i] clipped to [-clip, clip]; NaN becomes 0. `clip` > 0 and
// finite. `in` at any alignment; `out` may be `in`.
void ClipGradient(const float* in, float clip, uint32_t dim, float* out);

// Clips the finite elements of `grad` to [-max, max]; `max` > 0 and finite.
void ClipFinite(float max, uint32_t dim, float* grad);

// Scales `grad` by max / norm when its Euclidean norm is above `max` > 0. The
// norm is that of reduce.h's sum; each element is rounded once, so the new norm
// is `max` within a few units of the last place. An infinity becomes a NaN.
void ClipNorm(float max, uint32_t dim, float* grad);

}  // namespace paramo
