// What can be said about one push or pull, and what comes back.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace paramo {
inline namespace sdk {

struct PullOptions {
  // Worker clock the pull is for; only meaningful within a job, where a bsp
  // pull at clock c waits until round c - 1 has closed.
  uint64_t clock = 0;
  std::chrono::milliseconds deadline{0};  // 0 = ConnectOptions::deadline
  // How rows travel: "f32", "f16", "bf16" or "int8" (docs/formats/codecs.md);
  // empty: as TableSpec::codec says.
  std::string codec = {};
};

struct PushOptions {
  uint64_t clock = 0;     // worker clock; within a job Job::Push sets it
  uint32_t examples = 1;  // the gradient is the mean of that many
  std::chrono::milliseconds deadline{0};  // 0 = ConnectOptions::deadline
  // How gradients travel and are logged, and a PushPull's rows travel, as in
  // PullOptions. "int8" rounds gradients at random, without bias. First values
  // (PushPart::AsInitial) always go as f32.
  std::string codec = {};
};

// Answer to a push that was accepted on every shard it touched.
struct PushAck {
  uint64_t lsn = 0;    // highest log position over the shards
  uint64_t clock = 0;  // lowest clock that all live workers have finished
  // Sections (one per table and shard) by outcome. `accumulated` ones are part
  // of an open round: safe, visible at its close. `dropped` ones came after
  // their round had closed.
  uint32_t applied = 0;
  uint32_t accumulated = 0;
  uint32_t dropped = 0;
  uint64_t rows_skipped = 0;  // left unchanged: not finite
  uint32_t replicas = 0;      // lowest number of in-sync replicas that have it
};

}  // namespace sdk
}  // namespace paramo
