// A client process: pushes until told to stop, and keeps the ledger.
//
// It keeps kInFlight pushes under way, each to four rows (oracle.h), some with
// a deadline so short that faults leave their outcome unknown. When its session
// is over, which a server that lost its memory says, it connects anew and goes
// on: what a training job would do.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "paramo/cluster.h"
#include "tests/chaos/scalar_rule.h"

namespace paramo::chaos {

// The three tables.
inline constexpr const char* kOwnTable = "chaos-own";
inline constexpr const char* kCounterTable = "chaos-counter";
inline constexpr const char* kPairTable = "chaos-pairs";

// The shortest deadline of a push.
inline constexpr std::chrono::milliseconds kImpatience(300);

struct LoadOptions {
  uint32_t client = 1;  // 1, 2, ...
  std::string addresses;
  std::string ledger;
  std::string rule = "sgd";  // of the tables
  uint64_t seed = 1;
  int parent_fd = -1;
};

// What a table of the run is made from.
TableSpec ChaosTable(const std::string& name, const std::string& durability,
                     const ScalarRule& rule);

// The client process. Returns after SIGTERM, when every push has ended; or
// with why it cannot work at all.
absl::Status RunLoad(const LoadOptions& options);

}  // namespace paramo::chaos
