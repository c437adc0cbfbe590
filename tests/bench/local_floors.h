// Floors within this process: memory, the disk, a rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "tests/bench/plan.h"

namespace paramo::bench {

// memcpy of pieces of that size between memory that no cache holds.
Subject CopyFloor(size_t bytes);

// write() of pieces of that size to the end of a file in `directory`, with
// fdatasync() after every `sync_bytes()` of them; 0: never. The file starts
// anew with every run.
Subject AppendFloor(const std::string& directory, size_t bytes,
                    std::function<size_t()> sync_bytes);

// The rule on `rows` random ones at a time, out of `table_rows` in one table on
// this thread: what a server does to them, without a wire or a log.
Subject RuleFloor(const std::string& rule, uint32_t dim, size_t rows,
                  uint64_t table_rows);

// ---- For more of their kind ----

// Calls `step` for `time`, each time counted as one message of that work.
absl::StatusOr<Sample> Repeat(absl::Duration time, double bytes, double rows,
                              const std::function<absl::Status()>& step);

}  // namespace paramo::bench
