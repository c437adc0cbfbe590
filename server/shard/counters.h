// What a server's shards count, together. References into the registry, taken
// once; recording is lock-free.
#pragma once

#include <array>
#include <string>

#include "common/metrics/metrics.h"
#include "common/wire/section.h"

namespace paramo {

struct ShardCounters {
  explicit ShardCounters(MetricsRegistry& registry);

  // How many clocks behind the pushes of a job are (SyncPolicy::StalenessOf).
  Histogram& StalenessOf(const std::string& job);

  Counter& push_rows;
  Counter& pull_rows;
  Counter& rows_created;
  Counter& rows_skipped;
  Counter& duplicates;          // retries answered from memory
  Counter& rounds;              // closed
  Counter& contributions_late;  // dropped: their round was closed
  Counter& contributions_dead;  // discarded: the worker left in mid-step
  Counter& rows_evicted;
  Counter& rows_fetched;
  Histogram& fetch_ns;
  Gauge& resident_rows;  // of tables with a memory budget, as is the next
  Gauge& resident_bytes;
  Gauge& waiting_for_rows;
  Gauge& parked_pulls;
  Gauge& held_pushes;
  Gauge& round_deadlines;
  Gauge& waiting_for_commit;
  std::array<Counter*, wire::kReasonCount> refused;  // by reason

  void CountRefusal(wire::Reason reason) {
    refused[static_cast<size_t>(reason)]->Add();
  }

 private:
  MetricsRegistry& registry_;
};

}  // namespace paramo
