// What a table does to a gradient before its rule sees it.
#pragma once

#include <cstdint>

#include "server/table/table_config.h"

namespace paramo {

// One row's gradient as it was pushed, and what it is measured against.
// Shapes: each [dim] f32; grad and pulled at any alignment.
struct PushedGradient {
  const float* grad = nullptr;
  const float* pulled = nullptr;  // the value that it was computed at, if known
  const float* value = nullptr;   // of the row now
};

// Whether PrepareGradient changes anything for this table.
bool PreparesGradients(const TableConfig& config, bool with_pulled);

// Writes the gradient for the rule to `out` [dim]: in this order
//   1. non-finite policy clip: NaN becomes 0, all is cut to +-clip
//   2. delay compensation, with pulled values: g + lambda g g (value - pulled)
//   3. clipping by value: finite elements are cut to +-clipping.value
//   4. clipping by norm: a row longer than clipping.norm is scaled to it
// A NaN or an infinity that is there after 1 and 2 stays there, so that the
// rule leaves its row unchanged.
//
// Source: 2: Zheng et al. 2017 (DC-ASGD), with a constant lambda; 4: Pascanu,
//         Mikolov, Bengio 2013, Alg. 1, norm by server/rule/reduce.h.
void PrepareGradient(const TableConfig& config, const PushedGradient& pushed,
                     uint32_t dim, float* out);

}  // namespace paramo
