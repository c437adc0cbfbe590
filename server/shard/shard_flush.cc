// A shard and the store. Rows reach it in sweeps:
//
//   begin   the non-row state is saved, as of lsn L
//   collect every row that is dirty now, a few thousand at a time, each as it
//           is by then: at L or later
//   end     the state goes with the last rows
//
// So the store, once it has the state of L, has every change of rows up to L,
// and some later ones. A restart takes that state and replays the log behind
// L; a row's own lsn tells which records it has already.
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "server/shard/shard.h"

namespace paramo {

void Shard::Collect(size_t rows_max, std::function<void(ShardFlush)> done) {
  Post([this, rows_max, done = std::move(done)] {
    ShardFlush flush;
    flush.shard = options_.id;
    ++flushes_;
    if (!sweeping_ && !installing_ && !wiping_ &&
        (applied_ > flushed_lsn_ || dirty_rows_ > 0)) {
      BeginSweep();
    }
    if (sweeping_) CollectSweep(rows_max, flush);
    UpdateDirty();
    done(std::move(flush));
  });
}

void Shard::BeginSweep() {
  sweeping_ = true;
  sweep_lsn_ = applied_;
  sweep_log_bytes_ = log_bytes_;
  sweep_state_ = SaveState();
  sweep_tables_.clear();
  for (auto& [id, table] : tables_) {
    table->BeginSweep();
    sweep_tables_.push_back(id);
  }
}

void Shard::CollectSweep(size_t rows_max, ShardFlush& flush) {
  size_t left = rows_max;
  while (!sweep_tables_.empty() && left > 0 &&
         flush.arena.size() < kFlushShardBytesMax) {
    const TableId id = sweep_tables_.back();
    auto table = tables_.find(id);
    if (table == tables_.end()) {  // dropped since
      sweep_tables_.pop_back();
      continue;
    }
    const size_t room = kFlushShardBytesMax - flush.arena.size();
    const size_t record_bytes = table->second->layout().record_bytes();
    const size_t most = std::min(left, room / record_bytes + 1);
    flush.Reserve(std::min(most, table->second->dirty_rows()), record_bytes);
    left -= table->second->CollectDirty(
        most, [&](absl::Span<const uint8_t> record) {
          flush.AddRow(id, absl::string_view(
                               reinterpret_cast<const char*>(record.data()),
                               record.size()));
        });
    if (table->second->SweepDone()) sweep_tables_.pop_back();
  }
  rows_in_flush_ += flush.rows.size();
  dirty_rows_ -= flush.rows.size();
  if (!sweep_tables_.empty()) return;
  flush.state = std::move(sweep_state_);
  flush.state_lsn = sweep_lsn_;
  sweeping_ = false;
}

void Shard::Flushed(const ShardFlush& flush, const absl::Status& status) {
  const bool stored = status.ok();
  const Lsn lsn = stored ? flush.state_lsn : 0;
  Post([this, lsn, rows = flush.rows.size(), stored] {
    rows_in_flush_ -= rows;
    --flushes_;
    if (wiping_) return WipeWhenQuiet();
    if (lsn > flushed_lsn_) {
      flushed_lsn_ = lsn;
      log_bytes_ -= sweep_log_bytes_;
      ReleaseLog();
    }
    // Rows behind the sweep are dirty again: it must begin anew.
    if (!stored) sweeping_ = false;
    for (auto& [id, table] : tables_) {
      const size_t before = table->dirty_rows();
      table->FlushSettled(stored);
      dirty_rows_ += table->dirty_rows() - before;
    }
    UpdateDirty();
  });
}

// What neither a restart nor a peer that catches up will read again.
void Shard::ReleaseLog() {
  const Lsn needed = replica_->oldest_needed();
  options_.port->Release(std::min(flushed_lsn_, needed > 0 ? needed - 1 : 0));
}

// After anything that may have changed what others read without the strand.
void Shard::UpdateDirty() {
  KeepBudgets();
  if (IsInForce()) in_force_.store(view_->version, std::memory_order_release);
  size_t state = applied_ > flushed_lsn_ ? 1 : 0;
  dirty_.store(dirty_rows_ + rows_in_flush_ + state, std::memory_order_relaxed);
  unstored_bytes_.store(log_bytes_, std::memory_order_relaxed);
}

}  // namespace paramo
