// The store of a coordinator that runs alone: RocksDB in its data directory.
// Every transaction is synced before it returns, so what was answered
// survives a power cut.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "server/coordinator/kv_store.h"

namespace paramo {

struct EmbeddedKvOptions {
  std::string path;              // made when absent; its parent must exist
  const Clock* clock = nullptr;  // leases run on it; outlives the store
  // Changes kept in memory for watches that start in the past.
  size_t history_events = 4096;
};

// Errors: FAILED_PRECONDITION  another process has it open, or its format is
//                              newer than this build
//         DATA_LOSS            a checksum failed
absl::StatusOr<std::unique_ptr<KvStore>> OpenEmbeddedKv(
    const EmbeddedKvOptions& options);

}  // namespace paramo
