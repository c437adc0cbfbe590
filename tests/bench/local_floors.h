// Floors within this process: memory, the disk, a rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/bench/plan.h"

namespace paramo::bench {

// memcpy of pieces of that size between memory that no cache holds.
Subject CopyFloor(size_t bytes);

// write() of pieces of that size to the end of a file in `directory`, each
// followed by fdatasync() if `sync`. The file starts anew with every run.
enum class Sync { kNo, kYes };
Subject AppendFloor(const std::string& directory, size_t bytes, Sync sync);

// The rule on `rows` random ones at a time, out of `table_rows` in one table on
// this thread: what a server does to them, without a wire or a log.
Subject RuleFloor(const std::string& rule, uint32_t dim, size_t rows,
                  uint64_t table_rows);

}  // namespace paramo::bench
