// The rows of one table on one shard. Step 5 of the data path: find the rows
// of a batch, prefetching, and hand them to the rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/base/ids.h"
#include "common/base/limits.h"
#include "common/codec/codec.h"
#include "server/table/cold_keys.h"
#include "server/table/distinct.h"
#include "server/table/index.h"
#include "server/table/row.h"
#include "server/table/row_arena.h"
#include "server/table/row_pins.h"
#include "server/table/table_config.h"

namespace paramo {

// What a push brings besides keys and gradients.
struct PushStamp {
  Lsn lsn = 0;
  uint32_t last_use = 0;      // wall time; outside checksums
  WorkerClock clock = 0;      // of the push or round: where the schedule stands
  WorkerClock staleness = 0;  // steps behind the fastest live worker
  bool with_pulled = false;   // see Apply
  bool initial = false;       // see Apply
  const Codec* codec = &F32();  // how gradients are written
  // A replay of the log: rows that are of this lsn or a later one have seen the
  // push and stay as they are.
  bool replaying = false;
};

// What one Apply did. Sums to the number of distinct keys, but for
// rows_created, which counts some of rows_updated.
struct ApplyResult {
  uint32_t rows_updated = 0;  // changed by the rule
  uint32_t rows_created = 0;  // of them, those that were missing before
  uint32_t rows_skipped = 0;  // left unchanged: not finite, or no room
};

// What TableShard::CheckFinite says, for keys of several shards.
absl::Status CheckFinite(const TableConfig& table, absl::Span<const Key> keys,
                         const float* const* grads, bool with_pulled = false,
                         bool initial = false, const Codec& codec = F32());

// Owned by a shard; made when the table's creation is applied, gone when its
// drop is. Threads: only the shard's strand; nothing here locks.
//
// Invariants:
//   1. Every row is finite: value and slots.
//   2. A row exists if and only if some push was applied to it (or it was
//      restored); a pull creates nothing.
//   3. Equal sequences of Apply give equal rows, bit for bit, on any machine.
//   4. A row is dirty from its last change until CollectDirty copies it, and
//      in flush from then until FlushSettled.
//   5. A row is in memory or cold: evicted, and then the store has it as it is.
//      Cold ones count in rows() and checksums, and change nothing in them.
class TableShard {
 public:
  // `rows_max`: rows beyond it are refused; lower only in tests.
  TableShard(TableConfig config, ShardId shard,
             uint64_t rows_max = kRowsPerShardTableMax);

  const TableConfig& config() const { return config_; }
  const RowLayout& layout() const { return layout_; }
  ShardId shard() const { return shard_; }

  // Takes an altered config (rule, parameters, policies, version).
  // Errors: INVALID_ARGUMENT  id, dim, seed, initializer or the rule's slots
  //                           differ
  absl::Status SetConfig(TableConfig config);

  // Both are asked before the push is logged, so that it can be refused whole.
  // Two calls, because they are counted as different refusals.
  //
  // Shapes: keys [n], grads [n], rows of dim in `codec` at any alignment, each
  //         followed by another one with pulled values.
  // Errors: INVALID_ARGUMENT    a gradient or a pulled value is a NaN or an
  //                             infinity, and the table's policy is reject; or
  //                             a first value is, whatever the policy
  //         RESOURCE_EXHAUSTED  the missing keys would not fit
  absl::Status CheckFinite(absl::Span<const Key> keys,
                           const float* const* grads, bool with_pulled = false,
                           bool initial = false,
                           const Codec& codec = F32()) const;
  absl::Status CheckRoom(absl::Span<const Key> keys) const;

  // Applies one gradient row per key; none of them may be cold.
  //
  // Shapes:  keys [n], any order; duplicates are summed in the order given
  //          (first + second, + third, ...) before policy and rule see them.
  //          grads [n], rows of dim in stamp.codec at any alignment. With
  //          stamp.with_pulled each gradient is followed by the value that it
  //          was computed at; keys then have no duplicates. With stamp.initial
  //          no gradients but first values, each of its own key.
  // Effects: the rule's learning rate is scaled by the table's schedule at
  //          stamp.clock, and by 1 / (1 + stamp.staleness) if the table says
  //          so. Missing rows are created from the initializer. A row that the
  //          rule would make non-finite stays exactly as it was (a missing
  //          one stays missing) and counts as skipped. Changed rows take the
  //          stamp's lsn and last use, count one more push and become dirty.
  //          First values make missing rows and leave the others alone.
  // Cost:    O(n dim); about 2 cache misses per row, overlapped. Sorted keys
  //          are a fast path.
  ApplyResult Apply(absl::Span<const Key> keys, const float* const* grads,
                    const PushStamp& stamp);

  // Writes the values of `keys` (duplicates allowed) to `out`, [n] rows of dim
  // in `codec` at any alignment, rounded to the nearest; missing rows are
  // computed, never created, and none may be cold.
  void Gather(absl::Span<const Key> keys, uint8_t* out,
              const Codec& codec = F32()) const;

  // The same with one destination per key.
  void Gather(absl::Span<const Key> keys, uint8_t* const* outs,
              const Codec& codec = F32()) const;

  // ---- Write-behind ---------------------------------------------------------

  size_t dirty_rows() const { return dirty_count_; }

  // A sweep goes once over the rows that are there when it begins, so that no
  // cold row stays dirty for ever.
  void BeginSweep() {
    sweep_cursor_ = 0;
    sweep_end_ = arena_.rows();
  }
  bool SweepDone() const { return sweep_cursor_ >= sweep_end_; }

  // Hands up to `rows_max` dirty records of the sweep to `take`, which copies
  // them, marks them clean and returns how many: fewer only when the sweep is
  // done.
  size_t CollectDirty(
      size_t rows_max,
      absl::FunctionRef<void(absl::Span<const uint8_t> record)> take);

  // What became of all that CollectDirty has handed out: if it is not stored
  // the rows are dirty again.
  void FlushSettled(bool stored);

  // Takes a record read from disk: inserts it, or replaces a row of lower
  // lsn. The row is clean.
  // Errors: DATA_LOSS           wrong size, or not finite, or evicted before
  //         RESOURCE_EXHAUSTED  no room
  absl::Status Restore(absl::Span<const uint8_t> record);

  // ---- Memory budget (table_evict.cc) ---------------------------------------

  // Whether rows may be cold: who does not hold them must look.
  bool budgeted() const {
    return config_.memory_budget > 0 || cold_.size() > 0;
  }

  // Whether a request looks for its rows for the first time, which counts as a
  // use of those in memory, or again, when what it missed has come.
  enum class Look { kFirst, kAgain };

  // Appends to `missing` those of `keys` that are not in memory, cold or never
  // made (in the order of keys, once for each time they are named). The others
  // stay there as long as the pins. Cost: as Gather without the copying.
  RowPins Pin(absl::Span<const Key> keys, std::vector<Key>& missing,
              Look look = Look::kFirst);

  // Evicts rows while those in memory take more than `bytes`, `rows_max` at
  // most: of those that are neither dirty, in flush nor pinned. It goes round,
  // and past a row once for each use of it, three at most, that it had since it
  // came in: so one that is used now and then outlives many that are used once.
  // Returns how many.
  // Cost: 0.2 us per row; it may look at 64 rows for each that it may evict.
  size_t Evict(uint64_t bytes, size_t rows_max);

  // Takes a cold row back from the store; one that is not cold is left alone.
  // Errors: DATA_LOSS  wrong size, or not finite; the row is cold as before
  absl::Status FetchBack(absl::Span<const uint8_t> record);

  bool IsCold(Key key) const { return cold_.Contains(key); }
  uint64_t resident_rows() const { return arena_.rows() - arena_.freed(); }
  uint64_t resident_bytes() const { return resident_rows() * layout_.stride(); }

  // ---- Reading --------------------------------------------------------------

  // The record of `key` if it is in memory; valid until the next non-const
  // call.
  const std::byte* Find(Key key) const;

  // The record of a row number below row_numbers(), empty if there is none;
  // valid until the next non-const call.
  uint64_t row_numbers() const { return arena_.rows(); }
  absl::Span<const uint8_t> RecordAt(uint64_t row) const {
    if (arena_.IsFree(static_cast<uint32_t>(row))) return {};
    return RecordOf(static_cast<uint32_t>(row));
  }

  // Calls `visit` with every record in memory, in no particular order.
  void ForEachRow(
      absl::FunctionRef<void(absl::Span<const uint8_t> record)> visit) const;

  // The first `limit` keys >= `from`, ascending. Cost: a pass over all rows.
  std::vector<Key> Keys(Key from, size_t limit) const;
  // Every key, in no particular order.
  void ForEachKey(absl::FunctionRef<void(Key)> visit) const;

  // Sum mod 2^64 over rows of XXH3-64(record with last_use = 0): the same for
  // equal rows in any order. Of cold rows as they were when they were evicted.
  // Cost: a pass over all rows in memory.
  uint64_t Checksum() const;

  // What Checksum gives, kept up with every change.
  uint64_t rolling_checksum() const { return checksum_; }
  // The highest lsn of a row.
  Lsn newest_lsn() const { return newest_lsn_; }

  uint64_t rows() const { return resident_rows() + cold_.size(); }
  size_t bytes() const;  // memory held: rows, index, cold keys, bits, scratch

 private:
  // Rows that are found together: 128 misses are more than a core can have in
  // flight, and 128 Adagrad rows of 64 floats (68 KiB) stay in L2.
  static constexpr size_t kBatchRows = 128;

  // A stamp, with the learning rate's factor worked out once per push.
  struct Update {
    const PushStamp& stamp;
    double lr_scale;
    bool prepares;  // gradients, before the rule sees them
  };

  // rows[i] = row number of keys[i] or kNoRow, for up to kBatchRows keys.
  void FindBatch(absl::Span<const Key> keys, uint32_t* rows) const;
  void PrefetchRow(uint32_t row, size_t bytes) const;
  // The floats of n gradients; `decoded` [n] where they have to be told.
  const float* const* Decode(const float* const* grads, size_t n,
                             const PushStamp& stamp, const float** decoded);
  void ApplyBatch(absl::Span<const Key> keys, const float* const* grads,
                  const Update& update, ApplyResult* result);
  const float* Prepare(const float* grad, const std::byte* row,
                       const Update& update, size_t position);
  bool CreateRow(Key key, const float* grad, const Update& update,
                 size_t position);
  uint32_t TakeRow();  // of arena_, with its bits; to be filled, then linked
  void Link(Key key, uint32_t row);  // makes it findable
  absl::Status CheckRecord(absl::Span<const uint8_t> record) const;
  void Touch(uint32_t row, const PushStamp& stamp);
  void SetDirty(uint32_t row);
  void SetClean(uint32_t row);
  template <typename OutOf>
  void GatherRows(absl::Span<const Key> keys, const Codec& codec,
                  OutOf out_of) const;
  absl::Span<const uint8_t> RecordOf(uint32_t row) const;
  uint64_t HashOf(std::byte* row) const;
  void EvictRow(uint32_t row);
  bool IsPinned(uint32_t row) const {
    return row < pins_->size() && (*pins_)[row] > 0;
  }

  // Fixed at construction; config_ changes only by SetConfig.
  TableConfig config_;
  const ShardId shard_;
  const uint64_t rows_max_;
  const RowLayout layout_;
  const size_t batch_rows_;  // up to kBatchRows; fewer of very wide rows

  RowArena arena_;
  RowIndex index_;

  uint64_t checksum_ = 0;
  Lsn newest_lsn_ = 0;

  std::vector<uint64_t> dirty_;  // one bit per row number
  size_t dirty_count_ = 0;
  size_t sweep_cursor_ = 0;  // row number where CollectDirty goes on
  size_t sweep_end_ = 0;
  std::vector<uint64_t> flushing_;  // a bit per row number: in flush or free
  std::vector<uint32_t> in_flush_;  // their numbers

  ColdKeys cold_;
  uint64_t cold_checksum_ = 0;  // the part of checksum_ that cold rows have
  std::vector<uint8_t> uses_;   // by row number; 0 beyond its end
  std::shared_ptr<PinCounts> pins_ = std::make_shared<PinCounts>();
  size_t hand_ = 0;  // row number where Evict goes on

  // Scratch of Apply.
  DistinctKeys distinct_;
  std::vector<float> decoded_;   // gradients of one batch
  std::vector<float> prepared_;  // the same, as the rule is to see them
};

}  // namespace paramo
