// A seeded simulation of replicated shards: the real Replica and ReplicaSets
// over a simulated network, disks, processes and clients, in virtual time. One
// seed is one run, and always the same run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "server/replication/seeded_bugs.h"

namespace paramo::sim {

using Micros = int64_t;  // virtual time
inline constexpr Micros kMilli = 1000;
inline constexpr Micros kSecond = 1000 * kMilli;

// Negative controls: one switched on per run. The replica's own exist only in
// the build with PARAMO_SEEDED_BUGS; the others are of the simulated world.
struct Bugs {
  SeededBugs replica;
  bool promote_lagging = false;   // the coordinator promotes a learner
  bool transfer_lagging = false;  // an orderly transfer goes to a learner
  bool restart_unproven = false;  // an incarnation outlives lost data
  bool dedup_by_applied = false;  // a pending push is not seen as appended
  bool sessions_lost = false;     // a new primary knows no sessions
  bool session_reused = false;    // a new client counts from 1 again
};

struct Options {
  uint64_t seed = 0;
  Bugs bugs;
  Micros faults_for = 5 * kSecond;
  Micros heal_for = 30 * kSecond;  // at most; progress ends it
  bool trace = false;
};

struct Result {
  std::vector<std::string> violations;
  std::map<std::string, uint64_t> faults;    // injected, by kind
  std::map<std::string, uint64_t> progress;  // what was done, by kind
  Micros healed_after = 0;

  uint64_t fault_count() const {
    uint64_t count = 0;
    for (const auto& [kind, n] : faults) count += n;
    return count;
  }
};

// Stops at the first violation.
Result Run(const Options& options);

}  // namespace paramo::sim
