#include "server/shard/counters.h"

namespace paramo {

ShardCounters::ShardCounters(MetricsRegistry& r)
    : push_rows(
          r.AddCounter("paramo_push_rows_total", "Gradient rows accepted")),
      pull_rows(r.AddCounter("paramo_pull_rows_total", "Rows answered")),
      rows_created(r.AddCounter("paramo_rows_created_total",
                                "Rows made by their first push")),
      rows_skipped(r.AddCounter(
          "paramo_rows_skipped_total",
          "Rows left unchanged: gradient or result not finite, or no room")),
      duplicates(r.AddCounter("paramo_push_duplicates_total",
                              "Retried pushes answered from memory")),
      rounds(r.AddCounter("paramo_rounds_closed_total",
                          "Rounds applied, counted per shard")),
      contributions_late(
          r.AddCounter("paramo_contributions_late_total",
                       "Sections dropped because their round was closed")),
      contributions_dead(r.AddCounter(
          "paramo_contributions_dead_total",
          "Sections discarded because their worker left in mid-step")),
      rows_evicted(r.AddCounter(
          "paramo_rows_evicted_total",
          "Rows that left memory for the store, for a table's memory budget")),
      rows_fetched(r.AddCounter("paramo_rows_fetched_total",
                                "Evicted rows read back from the store")),
      fetch_ns(r.AddHistogram(
          "paramo_row_fetch_seconds",
          "From asking the store for evicted rows to having them; counted per "
          "batch of a shard",
          /*unit=*/1e-9)),
      resident_rows(r.AddGauge(
          "paramo_resident_rows",
          "Rows in memory, of the tables that have a memory budget")),
      resident_bytes(r.AddGauge(
          "paramo_resident_row_bytes",
          "Bytes of rows in memory, of the tables that have a memory budget")),
      waiting_for_rows(
          r.AddGauge("paramo_waiting_for_rows",
                     "Requests that wait for evicted rows to be read back")),
      parked_pulls(r.AddGauge("paramo_parked_pulls",
                              "Pulls waiting for a round to close")),
      held_pushes(r.AddGauge("paramo_held_pushes",
                             "Pushes waiting for an earlier number")),
      round_deadlines(r.AddGauge("paramo_round_deadlines",
                                 "Open rounds that a deadline will close")),
      waiting_for_commit(r.AddGauge(
          "paramo_waiting_for_commit",
          "Requests that wait until a record before them is applied")),
      registry_(r) {
  for (size_t i = 0; i < refused.size(); ++i) {
    refused[i] = &r.AddCounter(
        "paramo_refused_total", "Sections and requests refused, by reason",
        {{"reason", wire::ReasonName(static_cast<wire::Reason>(i))}});
  }
}

Histogram& ShardCounters::StalenessOf(const std::string& job) {
  return registry_.AddHistogram(
      "paramo_push_staleness_clocks",
      "Clocks that pushes ending a step are behind the fastest worker, or in "
      "rounds behind the open one; counted per shard",
      /*unit=*/1, {{"job", job}});
}

}  // namespace paramo
