// Rows and per-shard state at rest: RocksDB in <data directory>/rows. Step 8
// of the data path, always off the path of a push.
//
// Writes are whole batches of sorted SST files, taken in by one atomic ingest
// over both column families: about ten times the rate of Puts, no write-ahead
// log, no memtable. Nothing here ever Puts a row: a plain Put would wait,
// for seconds, behind the level-0 files that ingests leave.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/ids.h"
#include "server/store/shard_flush.h"

namespace paramo {

struct RowStoreOptions {
  // Makes the store when it is not there. Not for a server that has been one
  // before: its rows would be taken for gone.
  bool create = true;

  // An ingest waits while a column family has this many level-0 files. More
  // means fewer waits and slower cold reads, each of which asks every file.
  size_t l0_files_max = 32;

  // How long an ingest waits for compaction before it gives up.
  absl::Duration l0_wait_max = absl::Seconds(30);

  // Level-0 files at which compaction starts. Below l0_files_max.
  int compaction_files = 8;
};

struct RowId {
  TableId table = 0;
  ShardId shard = 0;
  Key key = 0;
};

struct RowStoreStats {
  uint64_t rows_estimate = 0;  // stored; counts rows not yet compacted twice
  uint64_t l0_files = 0;       // of the column family that has more
  uint64_t bytes = 0;          // of SST files
  uint64_t ingests = 0;        // since open, as are the following
  uint64_t rows_ingested = 0;
  uint64_t bytes_ingested = 0;  // of row records
  uint64_t l0_waits = 0;        // ingests that found the gate closed
};

// Owned by the server, opened after DataDir and closed (destroyed) before
// main returns: RocksDB's own statics must outlive it.
//
// Invariants
//   1. A batch is stored whole or not at all, rows and states together.
//   2. Of several records of one row in a batch, the highest lsn is stored.
//   3. Every record read is checked twice: its block's checksum, and its own
//      key against the key it was found under.
//
// Threads: any. Ingest and drops run one at a time; reads go beside them.
class RowStore {
 public:
  // Errors: DATA_LOSS            damaged or missing files
  //         FAILED_PRECONDITION  not a row store; not there; open elsewhere
  //         RESOURCE_EXHAUSTED   disk full
  //         UNAVAILABLE          the disk; permissions
  static absl::StatusOr<std::unique_ptr<RowStore>> Open(
      const std::string& data_dir, const RowStoreOptions& options);
  ~RowStore();
  RowStore(const RowStore&) = delete;
  RowStore& operator=(const RowStore&) = delete;

  // Stores the batch durably. Blocks: on the disk, and on compaction while
  // level 0 is full.
  //
  // Effects: all or nothing; after an error the rows are as they were.
  // Errors:  UNAVAILABLE         level 0 stayed full for l0_wait_max
  //          RESOURCE_EXHAUSTED  disk full
  //          DATA_LOSS           the store found damage
  // Cost:    about 0.5 us per row of 272 bytes, and 10 ms per call.
  absl::Status Ingest(const FlushBatch& batch);

  // Calls `visit` with every record of one shard of a table, in key order, as
  // of the start of the scan. Stops at, and returns, the first error.
  using Visit = std::function<absl::Status(absl::string_view record)>;
  absl::Status ScanShard(TableId table, ShardId shard,
                         const Visit& visit) const;

  // Calls `found` once for each of `rows`, which may be in any order, with its
  // index and its record; NOT_FOUND if it is not stored, DATA_LOSS if just this
  // one is damaged. The record is valid during the call.
  using Found = absl::FunctionRef<void(
      size_t index, const absl::StatusOr<absl::string_view>& record)>;
  void MultiGet(absl::Span<const RowId> rows, Found found) const;

  // The shard's non-row state as last ingested; nullopt if there is none.
  absl::StatusOr<std::optional<std::string>> LoadState(ShardId shard) const;

  // Deletes every row of a table. May be repeated: after a crash in the
  // middle, rows of the table may be there until it is called again.
  absl::Status DropTable(TableId table);
  // Deletes a shard's rows of these tables, and its state. May be repeated.
  absl::Status DropShard(ShardId shard, absl::Span<const TableId> tables);

  RowStoreStats Stats() const;

 private:
  struct Impl;
  explicit RowStore(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace paramo
