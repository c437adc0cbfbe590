// Whole tables, for commands that look at all rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/core/control.h"
#include "paramo/status.h"

namespace paramo::cli {

// Floats pulled at once: 4 MiB, one message to each server.
inline constexpr size_t kPullFloats = size_t{1} << 20;

// The client library's status as ours, with all it knows on one line.
absl::Status FromClient(const Status& status);

// Keys of every row of `table` that a push has touched, ascending. 8 bytes
// each.
absl::StatusOr<std::vector<uint64_t>> ListKeys(client::Control& control,
                                               uint32_t table,
                                               absl::Duration timeout);

struct TableRows {
  size_t dim = 0;
  std::vector<uint64_t> keys;  // ascending
  std::vector<float> values;   // [keys, dim]
};

// Every row of a sparse table, into memory.
// Errors: NOT_FOUND         no such table
//         INVALID_ARGUMENT  a dense tensor, whose rows are pieces of one array
//         and those of the cluster.
absl::StatusOr<TableRows> ReadTable(const std::vector<std::string>& addresses,
                                    const std::string& table,
                                    absl::Duration timeout);

}  // namespace paramo::cli
