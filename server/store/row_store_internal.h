// The members of RowStore, shared by its two sources: row_store.cc (open,
// read, close) and row_store_ingest.cc (write).
#pragma once

#include <array>
#include <atomic>
#include <string>

#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "server/store/row_store.h"

namespace paramo {

// (table, shard, key), each big-endian, so that bytes sort as numbers do and
// a shard of a table is one range.
using RowKey = std::array<char, 16>;
RowKey MakeRowKey(TableId table, ShardId shard, Key key);

using StateKey = std::array<char, 4>;  // (shard), big-endian
StateKey MakeStateKey(ShardId shard);

// Rings when a compaction has made room.
class CompactionBell final : public rocksdb::EventListener {
 public:
  void OnCompactionCompleted(rocksdb::DB*,
                             const rocksdb::CompactionJobInfo&) override {
    MutexLock lock(mu_);
    ++rings_;
    cv_.NotifyAll();
  }
  uint64_t rings() const {
    MutexLock lock(mu_);
    return rings_;
  }
  // Returns when the bell has rung more than `seen` times, or at `timeout`.
  void Wait(uint64_t seen, absl::Duration timeout);

 private:
  mutable Mutex mu_;
  CondVar cv_;
  uint64_t rings_ ABSL_GUARDED_BY(mu_) = 0;
};

struct RowStore::Impl {
  ~Impl();

  // Level-0 files of the column family that has more.
  size_t L0Files() const;
  // Waits until both column families have room on level 0.
  absl::Status WaitForL0();
  // Removes rows from `first` up to, but without, `end`.
  absl::Status DropRows(const RowKey& first, const RowKey& end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(ingest_mu);
  // Takes the SST files in `rows_file` and `state_file` (either may be empty)
  // into the database, both or neither. They are gone afterwards.
  absl::Status IngestFiles(const std::string& rows_file,
                           const std::string& state_file)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(ingest_mu);
  std::string NextFileName() ABSL_EXCLUSIVE_LOCKS_REQUIRED(ingest_mu);

  // Fixed at open.
  RowStoreOptions options;
  std::string sst_dir;  // where files wait for their ingest; same file system
  rocksdb::Options rocks_options;
  std::shared_ptr<CompactionBell> bell;  // RocksDB is the other owner
  rocksdb::DB* db = nullptr;
  rocksdb::ColumnFamilyHandle* default_cf = nullptr;  // always empty
  rocksdb::ColumnFamilyHandle* rows_cf = nullptr;
  rocksdb::ColumnFamilyHandle* state_cf = nullptr;

  // Serialises writers for the whole of a write, disk and all: nobody on the
  // data path takes it.
  Mutex ingest_mu;
  uint64_t next_file ABSL_GUARDED_BY(ingest_mu) = 0;
  // The last ingest failed. RocksDB refuses writes after some errors until it
  // is told to go on.
  bool resume ABSL_GUARDED_BY(ingest_mu) = false;

  std::atomic<uint64_t> ingests{0};  // statistics: relaxed
  std::atomic<uint64_t> rows_ingested{0};
  std::atomic<uint64_t> bytes_ingested{0};
  std::atomic<uint64_t> l0_waits{0};
};

}  // namespace paramo
