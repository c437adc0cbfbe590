// The same work on many things, on all processors.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace paramo {

// Calls `work` with every number below `count`, several at a time; returns what
// each call returned.
inline std::vector<absl::Status> InParallel(
    size_t count, const std::function<absl::Status(size_t)>& work) {
  std::atomic<size_t> next{0};  // relaxed: a ticket, it orders nothing
  std::vector<absl::Status> outcomes(count);
  auto take = [&] {
    for (;;) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= count) return;
      outcomes[i] = work(i);
    }
  };
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency());
       ++i) {
    workers.emplace_back(take);
  }
  for (std::thread& worker : workers) worker.join();
  return outcomes;
}

}  // namespace paramo
