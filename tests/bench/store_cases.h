// What a server does to its disk, as subjects within this process: the log, its
// recovery, the rows written behind. Each run does a fixed amount.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/bench/plan.h"

namespace paramo::bench {

struct LogSpec {
  std::string directory;
  size_t record_bytes = 65536;
  size_t bytes = 256 << 20;  // of one run
};

// Appends records, sealed before, until they are written, or synced. The mean
// bytes of what the log wrote at once are left in `batch_bytes`.
enum class Level { kWritten, kSynced };
Subject LogAppend(const LogSpec& spec, Level level,
                  std::shared_ptr<size_t> batch_bytes);

// Opens the log that the last run of LogAppend left, reading and checking all
// of it. Floor: the same files read.
Subject LogRecover(const LogSpec& spec);
Subject ReadFloor(const LogSpec& spec);

// Takes rows into RocksDB, `rows` of a million random ones at a time, as a
// server does behind the pushes.
constexpr size_t kStoredRowBytes = 32 + 2 * 64 * 4;  // 64 floats and adagrad's
absl::StatusOr<Subject> WriteBehindCase(const std::string& directory,
                                        size_t rows);

}  // namespace paramo::bench
