// What a Table or a Tensor points to.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "client/core/split.h"
#include "paramo/spec.h"

namespace paramo::client {

class Core;

// Immutable but for the version. Shared by handles, by calls in flight, and by
// the catalogue.
struct TableHandle {
  Core* core = nullptr;  // outlives every handle
  TableInfo info;        // when it was opened
  // Dense tensors: the number of elements, and their blocks by shard. A
  // cluster's shard count never changes, so neither does the split.
  uint64_t elements = 0;
  std::shared_ptr<const Split> blocks;
  // The table's, as of the newest cluster state; shared by all its handles.
  // Relaxed: a request that names an older one is told so and resent.
  std::shared_ptr<std::atomic<uint32_t>> version;
};

}  // namespace paramo::client
