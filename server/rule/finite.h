// Checks and repairs of gradients that hold a NaN or an infinity.
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

}  // namespace paramo
