// What the logs make of the rows: the evidence where a row's value does not
// count pushes. Applies every record in order of lsn, row by row, with plain
// arithmetic (scalar_rule.h).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/chaos/inspect.h"
#include "tests/chaos/oracle.h"
#include "tests/chaos/scalar_rule.h"
#include "tests/chaos/shard_logs.h"

namespace paramo::chaos {

struct Replayed {
  Contents values;
  Contents pushes;  // how many there are to each row
  // Pushes that a shard has more than once, by session and number.
  uint64_t repeated = 0;
};

// Errors: DATA_LOSS  a log that is not whole, or a record that no run makes
absl::StatusOr<Replayed> Replay(const ShardLogs& logs, const Layout& layout,
                                const ScalarRule& rule);

// Rows that are not bit-equal, or that only one of the two has.
uint64_t CountDifferent(const Contents& a, const Contents& b);

}  // namespace paramo::chaos
