// What `paramo bench` prints and writes: a table for people, a JSON object per
// row for programs.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/figures.h"

namespace paramo::bench {

// With a last line that says what a marked row means, if there is one.
std::string Table(const std::vector<Row>& rows);

// One line: bench, case, value, unit, cpu, floor, floor_value, ratio, op,
// target, met, spread, noisy, explained_in. `floor`, `op` and `explained_in`
// are empty, the numbers and `met` that hang on them null, where there is none.
// `cpu` is in the unit that CpuNameOf gives for `unit`.
std::string Json(const std::string& bench, const Row& row);

}  // namespace paramo::bench
