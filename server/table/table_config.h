// What a shard needs to know of a table: the catalogue's TableSpec, resolved.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/durability.h"
#include "common/base/ids.h"
#include "server/rule/initializer.h"
#include "server/rule/rule.h"
#include "server/rule/schedule.h"

namespace paramo {

// The numbers of paramo.v1.NonFinite.Policy.
enum class NonFinitePolicy : uint32_t {
  kReject = 0,   // CheckFinite refuses; nothing is logged or changed
  kSkipRow = 1,  // the row stays as it is, and is counted
  kClip = 2,     // NaN becomes 0, everything is clipped to +-clip
};

// Bounds on a row's gradient; 0 = off, else finite.
struct Clipping {
  float value = 0;  // of each element
  float norm = 0;   // of the row, Euclidean
};

// docs/rules.md says what each does; cluster.proto has the ranges.
struct TableConfig {
  TableId id = 0;
  uint32_t version = 0;
  std::string name;
  uint32_t dim = 0;
  // Shared with the configs of the table's other shards on this server.
  std::shared_ptr<const Rule> rule;
  Initializer initializer;
  uint64_t seed = 0;
  NonFinitePolicy policy = NonFinitePolicy::kReject;
  float clip = 0;  // > 0 and finite; only for kClip
  Clipping clipping;
  Schedule schedule;
  bool staleness_scaling = false;
  float delay_compensation = 0;                  // lambda; 0 = off
  Durability durability = Durability::kWritten;  // when a replica has a push
  uint64_t memory_budget = 0;  // bytes of rows in memory; 0 = all stay there
  // The catalogue's words: a serialized paramo.v1.Table, which is what log
  // records and saved states carry.
  std::string encoded;
};

// What one shard may keep of the table's rows in memory.
inline uint64_t BudgetOf(const TableConfig& config, uint32_t shard_count) {
  return config.memory_budget / shard_count;
}

}  // namespace paramo
