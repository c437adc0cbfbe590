#include "server/store/row_store.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include <rocksdb/convenience.h>
#include <rocksdb/env.h>
#include <rocksdb/iterator.h>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "server/store/record.h"
#include "server/store/rocks_internal.h"
#include "server/store/row_store_internal.h"

namespace paramo {
namespace {

namespace fs = std::filesystem;

constexpr char kRowsFamily[] = "rows";
constexpr char kStateFamily[] = "state";

// Keys of one RocksDB MultiGet: bounds the blocks pinned at once to a few
// megabytes.
constexpr size_t kMultiGetKeys = 256;

// A row is read by itself: the rest of its block is copied and checked for
// nothing. No smaller, for the index keeps some 35 bytes per block in memory.
// Nor is a cache of blocks worth its time: a row that is read goes to the
// memory of its table, and the kernel has the pages.
constexpr size_t kBlockBytes = 2 << 10;

template <typename Int>
void StoreBigEndian(Int value, char* to) {
  for (size_t i = 0; i < sizeof(Int); ++i) {
    to[i] = static_cast<char>(value >> (8 * (sizeof(Int) - 1 - i)));
  }
}

rocksdb::Options MakeOptions(const RowStoreOptions& options) {
  rocksdb::Options rocks = BaseRocksOptions({.bytes = kBlockBytes});
  rocks.create_if_missing = options.create;
  rocks.create_missing_column_families = options.create;
  rocks.compaction_style = rocksdb::kCompactionStyleUniversal;
  rocks.level0_file_num_compaction_trigger = options.compaction_files;
  // Rewriting everything costs CPU that training needs; up to four stale
  // copies of a row cost only disk.
  rocks.compaction_options_universal.max_size_amplification_percent = 400;
  rocks.compaction_options_universal.allow_trivial_move = true;
  // Not a read of the file for each block of 2 KiB.
  rocks.compaction_readahead_size = size_t{2} << 20;
  return rocks;
}

// What an interrupted ingest left behind never reached the database.
absl::Status EmptyDirectory(const std::string& dir) {
  std::error_code error;
  fs::remove_all(dir, error);
  if (!error) fs::create_directories(dir, error);
  if (!error) return absl::OkStatus();
  return ErrnoStatus(error.value(), absl::StrCat("emptying ", dir));
}

// Invariant 3: whatever RocksDB returned, this is the row that was asked for.
absl::Status CheckRecord(absl::string_view record, Key key) {
  if (record.size() >= kRecordBytesMin && RecordKey(record) == key) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(
      "the store gave a record of ", record.size(), " bytes that is not row ",
      key, "; restore the data directory from a copy"));
}

// Ours keep nothing in the default column family; another's keep all there.
absl::Status CheckOurs(rocksdb::DB& db, const std::string& dir) {
  std::unique_ptr<rocksdb::Iterator> entries(
      db.NewIterator(rocksdb::ReadOptions()));
  entries->SeekToFirst();
  if (!entries->Valid()) return FromRocks(entries->status(), dir);
  return absl::FailedPreconditionError(absl::StrCat(
      dir,
      " is a RocksDB database, but not a row store; check the data "
      "directory, or start with an empty one"));
}

std::string ShardName(TableId table, ShardId shard) {
  return absl::StrCat("reading table ", table, " shard ", shard);
}

absl::StatusOr<absl::string_view> RecordOf(const RowId& row,
                                           const rocksdb::Status& status,
                                           const rocksdb::Slice& value) {
  if (status.IsNotFound()) return absl::NotFoundError("not stored");
  if (!status.ok()) return FromRocks(status, ShardName(row.table, row.shard));
  PARAMO_RETURN_IF_ERROR(CheckRecord(ToView(value), row.key));
  return ToView(value);
}

Key KeyOfRowKey(absl::string_view row_key) {
  Key key = 0;
  for (size_t i = 8; i < 16; ++i) {
    key = key << 8 | static_cast<unsigned char>(row_key[i]);
  }
  return key;
}

}  // namespace

RowKey MakeRowKey(TableId table, ShardId shard, Key key) {
  RowKey bytes;
  StoreBigEndian(table, bytes.data());
  StoreBigEndian(shard, bytes.data() + 4);
  StoreBigEndian(key, bytes.data() + 8);
  return bytes;
}

StateKey MakeStateKey(ShardId shard) {
  StateKey bytes;
  StoreBigEndian(shard, bytes.data());
  return bytes;
}

absl::StatusOr<std::unique_ptr<RowStore>> RowStore::Open(
    const std::string& data_dir, const RowStoreOptions& options) {
  const std::string dir = absl::StrCat(data_dir, "/rows");
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->sst_dir = absl::StrCat(data_dir, "/rows.ingest");

  impl->bell = std::make_shared<CompactionBell>();
  impl->rocks_options = MakeOptions(options);
  impl->rocks_options.listeners.push_back(impl->bell);
  // Compaction takes what training leaves. The pool is the process's.
  rocksdb::Env::Default()->LowerThreadPoolCPUPriority(
      rocksdb::Env::LOW, rocksdb::CpuPriority::kLow);

  std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, impl->rocks_options},
      {kRowsFamily, impl->rocks_options},
      {kStateFamily, impl->rocks_options}};
  PARAMO_RETURN_IF_ERROR(OpenRocks(dir, [&] {
    auto status = CheckOptionsFile(dir, impl->rocks_options, families);
    if (!status.ok()) return status;
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    status = rocksdb::DB::Open(impl->rocks_options, dir, families, &handles,
                               &impl->db);
    if (!status.ok()) return status;
    impl->default_cf = handles[0];
    impl->rows_cf = handles[1];
    impl->state_cf = handles[2];
    return status;
  }));
  PARAMO_RETURN_IF_ERROR(CheckOurs(*impl->db, dir));
  // Only now, when RocksDB's lock shows that nobody else is writing there.
  PARAMO_RETURN_IF_ERROR(EmptyDirectory(impl->sst_dir));
  return std::unique_ptr<RowStore>(new RowStore(std::move(impl)));
}

RowStore::RowStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

RowStore::~RowStore() = default;

RowStore::Impl::~Impl() {
  if (db == nullptr) return;
  // Without this, closing waits for a compaction to end.
  rocksdb::CancelAllBackgroundWork(db, /*wait=*/true);
  for (auto* family : {default_cf, rows_cf, state_cf}) {
    db->DestroyColumnFamilyHandle(family);
  }
  auto status = FromRocks(db->Close(), "closing the row store");
  if (!status.ok()) LogWarning("%s", ToString(status));
  delete db;
}

absl::Status RowStore::ScanShard(TableId table, ShardId shard,
                                 const Visit& visit) const {
  const RowKey first = MakeRowKey(table, shard, 0);
  const absl::string_view prefix(first.data(), 8);
  rocksdb::ReadOptions read;
  read.verify_checksums = true;
  read.readahead_size = 1 << 20;
  std::unique_ptr<rocksdb::Iterator> rows(
      impl_->db->NewIterator(read, impl_->rows_cf));
  for (rows->Seek(rocksdb::Slice(first.data(), first.size())); rows->Valid();
       rows->Next()) {
    const absl::string_view row_key = ToView(rows->key());
    if (row_key.size() != first.size() || row_key.substr(0, 8) != prefix) break;
    const absl::string_view record = ToView(rows->value());
    PARAMO_RETURN_IF_ERROR(Annotate(CheckRecord(record, KeyOfRowKey(row_key)),
                                    ShardName(table, shard)));
    PARAMO_RETURN_IF_ERROR(visit(record));
  }
  return FromRocks(rows->status(), ShardName(table, shard));
}

void RowStore::MultiGet(absl::Span<const RowId> rows, Found found) const {
  rocksdb::ReadOptions read;
  read.verify_checksums = true;
  // As many as are asked for: most fetches are of a few rows.
  const size_t together = std::min(rows.size(), kMultiGetKeys);
  std::vector<RowKey> keys(together);
  std::vector<rocksdb::Slice> slices(together);
  std::vector<rocksdb::Status> statuses(together);
  std::vector<rocksdb::PinnableSlice> values(together);
  for (size_t begin = 0; begin < rows.size(); begin += kMultiGetKeys) {
    const auto part = rows.subspan(begin, kMultiGetKeys);
    for (size_t i = 0; i < part.size(); ++i) {
      keys[i] = MakeRowKey(part[i].table, part[i].shard, part[i].key);
      slices[i] = rocksdb::Slice(keys[i].data(), keys[i].size());
    }
    impl_->db->MultiGet(read, impl_->rows_cf, part.size(), slices.data(),
                        values.data(), statuses.data());
    for (size_t i = 0; i < part.size(); ++i) {
      found(begin + i, RecordOf(part[i], statuses[i], values[i]));
      values[i].Reset();
    }
  }
}

absl::StatusOr<std::optional<std::string>> RowStore::LoadState(
    ShardId shard) const {
  const StateKey key = MakeStateKey(shard);
  std::string state;
  auto status = impl_->db->Get(rocksdb::ReadOptions(), impl_->state_cf,
                               rocksdb::Slice(key.data(), key.size()), &state);
  if (status.IsNotFound()) return std::optional<std::string>();
  PARAMO_RETURN_IF_ERROR(
      FromRocks(status, absl::StrCat("reading the state of shard ", shard)));
  return std::optional<std::string>(std::move(state));
}

RowStoreStats RowStore::Stats() const {
  RowStoreStats stats;
  impl_->db->GetIntProperty(impl_->rows_cf,
                            rocksdb::DB::Properties::kEstimateNumKeys,
                            &stats.rows_estimate);
  for (auto* family : {impl_->rows_cf, impl_->state_cf}) {
    uint64_t bytes = 0;
    impl_->db->GetIntProperty(
        family, rocksdb::DB::Properties::kTotalSstFilesSize, &bytes);
    stats.bytes += bytes;
  }
  stats.l0_files = impl_->L0Files();
  stats.ingests = impl_->ingests.load(std::memory_order_relaxed);
  stats.rows_ingested = impl_->rows_ingested.load(std::memory_order_relaxed);
  stats.bytes_ingested = impl_->bytes_ingested.load(std::memory_order_relaxed);
  stats.l0_waits = impl_->l0_waits.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace paramo
