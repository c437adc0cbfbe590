// From what a run left behind to its verdict.
#pragma once

#include <cstdint>
#include <map>

#include "absl/status/statusor.h"
#include "tests/chaos/cluster.h"
#include "tests/chaos/inspect.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/oracle.h"
#include "tests/chaos/report.h"
#include "tests/chaos/scalar_rule.h"
#include "tests/chaos/shard_logs.h"

namespace paramo::chaos {

struct Evidence {
  Contents pushes;         // how many each row has got
  uint64_t different = 0;  // rows that are not what their pushes make of them
  uint64_t repeated = 0;   // pushes that a shard's log has again
};

// What the logs say of rows that were read.
absl::StatusOr<Evidence> HoldAgainst(const ShardLogs& logs,
                                     const Contents& rows, const Layout& layout,
                                     const ScalarRule& rule);

// Reads every row. Where rows do not count pushes the servers are stopped, and
// the logs say how many there were and, replayed, what the rows must be.
absl::StatusOr<Evidence> Gather(ChaosCluster& cluster, const Layout& layout,
                                const ScalarRule& rule);

// Holds it against what clients were told; reports each client.
Verdict JudgeAll(const Evidence& evidence, const Layout& layout,
                 const std::map<uint32_t, const History*>& histories,
                 Report& report);

}  // namespace paramo::chaos
