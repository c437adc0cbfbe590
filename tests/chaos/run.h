// One chaos run: a cluster, clients, faults one after another, a verdict.
//
//   settle ---> inject ---> hold ---> heal ---> whole and progressing --.
//     ^                                                                 |
//     '-----------------------------------------------------------------'
//
// A fault is landed, and counts, when requests were in flight on its target,
// every client was being answered before it came, and is again after it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/cli/interrupt.h"
#include "client/cli/janitor.h"
#include "tests/chaos/faults.h"
#include "tests/chaos/isolation.h"
#include "tests/chaos/report.h"

namespace paramo::chaos {

struct RunOptions {
  int servers = 3;
  int replicas = 2;
  int clients = 4;
  int shards = 16;
  uint64_t faults = 10;  // landed
  std::vector<FaultKind> kinds;
  uint64_t seed = 1;
  std::string durability = "logged";
  std::string store = "embedded";
  std::string rule = "sgd";
};

// Blocks until the run is over; its findings are in the summary, and so is what
// kept it from ending well. Clean on return, and when killed.
Summary RunChaos(const RunOptions& options, cli::Workplace& workplace,
                 Isolation& isolation, cli::Interrupt& interrupt,
                 Report& report);

}  // namespace paramo::chaos
