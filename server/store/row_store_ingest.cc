// How rows reach the disk: sort, write one SST file per column family, wait
// until level 0 has room, take both files in at once.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <rocksdb/convenience.h>
#include <rocksdb/sst_file_writer.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "server/store/record.h"
#include "server/store/rocks_internal.h"
#include "server/store/row_store_internal.h"

namespace paramo {
namespace {

// What the sort moves about: 32 bytes, against hundreds for a record.
struct SortedRow {
  uint64_t table_shard;  // table << 32 | shard
  Key key;
  const char* record;
  size_t bytes;

  Lsn lsn() const {
    return RecordLsn(absl::string_view(record, kRecordBytesMin));
  }
  bool SameRow(const SortedRow& other) const {
    return table_shard == other.table_shard && key == other.key;
  }
};

// Rows of the batch in the order of their RowKeys, one record for each row:
// the one with the highest lsn (invariant 2).
std::vector<SortedRow> SortRows(const FlushBatch& batch) {
  std::vector<SortedRow> rows;
  size_t count = 0;
  for (const ShardFlush& flush : batch) count += flush.rows.size();
  rows.reserve(count);
  for (const ShardFlush& flush : batch) {
    for (const RowRecord& row : flush.rows) {
      const absl::string_view record = flush.Record(row);
      PARAMO_CHECK(RecordKey(record) == row.key);
      rows.push_back(SortedRow{uint64_t{row.table} << 32 | flush.shard, row.key,
                               record.data(), record.size()});
    }
  }
  std::sort(rows.begin(), rows.end(),
            [](const SortedRow& a, const SortedRow& b) {
              if (a.table_shard != b.table_shard) {
                return a.table_shard < b.table_shard;
              }
              if (a.key != b.key) return a.key < b.key;
              return a.lsn() > b.lsn();
            });
  rows.erase(std::unique(rows.begin(), rows.end(),
                         [](const SortedRow& a, const SortedRow& b) {
                           return a.SameRow(b);
                         }),
             rows.end());
  return rows;
}

// Writes one SST file; the file is durable, but part of nothing, when `fill`
// and Finish have succeeded.
template <typename Fill>
absl::Status WriteSst(const rocksdb::Options& options, const std::string& path,
                      const Fill& fill) {
  // Its pages stay with the kernel: rows that have just been stored are the
  // next to be evicted, and may be asked for soon.
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(options), options,
                                /*column_family=*/nullptr,
                                /*invalidate_page_cache=*/false);
  rocksdb::Status status = writer.Open(path);
  if (status.ok()) status = fill(writer);
  if (status.ok()) status = writer.Finish();
  return FromRocks(status, absl::StrCat("writing ", path));
}

absl::Status WriteRowsFile(const rocksdb::Options& options,
                           const std::string& path,
                           const std::vector<SortedRow>& rows) {
  // The sort leaves records scattered over the arenas; asking for one this
  // early hides the misses behind the eight before it.
  constexpr size_t kAhead = 8;
  return WriteSst(options, path, [&](rocksdb::SstFileWriter& writer) {
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i + kAhead < rows.size()) {
        __builtin_prefetch(rows[i + kAhead].record);
      }
      const SortedRow& row = rows[i];
      const RowKey key =
          MakeRowKey(static_cast<TableId>(row.table_shard >> 32),
                     static_cast<ShardId>(row.table_shard), row.key);
      auto status = writer.Put(rocksdb::Slice(key.data(), key.size()),
                               rocksdb::Slice(row.record, row.bytes));
      if (!status.ok()) return status;
    }
    return rocksdb::Status::OK();
  });
}

absl::Status WriteStateFile(
    const rocksdb::Options& options, const std::string& path,
    const std::map<ShardId, absl::string_view>& states) {
  return WriteSst(options, path, [&](rocksdb::SstFileWriter& writer) {
    for (const auto& [shard, state] : states) {
      const StateKey key = MakeStateKey(shard);
      auto status =
          writer.Put(rocksdb::Slice(key.data(), key.size()), ToSlice(state));
      if (!status.ok()) return status;
    }
    return rocksdb::Status::OK();
  });
}

// Deletes a file, if it is still there, when the scope ends however it ends:
// an ingest moves it away, a failure leaves it.
struct FileRemover {
  const std::string& path;
  ~FileRemover() {
    if (!path.empty()) std::remove(path.c_str());
  }
};

}  // namespace

void CompactionBell::Wait(uint64_t seen, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(mu_);
  while (rings_ == seen && absl::Now() < deadline) {
    cv_.WaitFor(mu_, deadline - absl::Now());
  }
}

absl::Status RowStore::Ingest(const FlushBatch& batch) {
  MutexLock lock(impl_->ingest_mu);
  const std::vector<SortedRow> rows = SortRows(batch);
  std::map<ShardId, absl::string_view> states;
  for (const ShardFlush& flush : batch) {
    if (!flush.state.empty()) states[flush.shard] = flush.state;
  }
  if (rows.empty() && states.empty()) return absl::OkStatus();

  std::string rows_file, state_file;
  FileRemover remove_rows{rows_file}, remove_state{state_file};
  if (!rows.empty()) {
    rows_file = impl_->NextFileName();
    PARAMO_RETURN_IF_ERROR(
        WriteRowsFile(impl_->rocks_options, rows_file, rows));
  }
  if (!states.empty()) {
    state_file = impl_->NextFileName();
    PARAMO_RETURN_IF_ERROR(
        WriteStateFile(impl_->rocks_options, state_file, states));
  }
  PARAMO_RETURN_IF_ERROR(impl_->IngestFiles(rows_file, state_file));

  uint64_t bytes = 0;
  for (const SortedRow& row : rows) bytes += row.bytes;
  impl_->rows_ingested.fetch_add(rows.size(), std::memory_order_relaxed);
  impl_->bytes_ingested.fetch_add(bytes, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status RowStore::DropTable(TableId table) {
  MutexLock lock(impl_->ingest_mu);
  // No table has the last id (the coordinator counts up from 1), so the next
  // one is always there as the end of the range.
  PARAMO_CHECK(table != UINT32_MAX);
  return Annotate(
      impl_->DropRows(MakeRowKey(table, 0, 0), MakeRowKey(table + 1, 0, 0)),
      absl::StrCat("dropping table ", table));
}

// The state last: while it is there the shard is not gone.
absl::Status RowStore::DropShard(ShardId shard,
                                 absl::Span<const TableId> tables) {
  MutexLock lock(impl_->ingest_mu);
  const std::string what = absl::StrCat("dropping shard ", shard);
  for (const TableId table : tables) {
    PARAMO_RETURN_IF_ERROR(
        Annotate(impl_->DropRows(MakeRowKey(table, shard, 0),
                                 MakeRowKey(table, shard + 1, 0)),
                 what));
  }
  const std::string file = impl_->NextFileName();
  FileRemover remove{file};
  PARAMO_RETURN_IF_ERROR(
      WriteSst(impl_->rocks_options, file, [&](rocksdb::SstFileWriter& writer) {
        const StateKey key = MakeStateKey(shard);
        return writer.Delete(rocksdb::Slice(key.data(), key.size()));
      }));
  return Annotate(impl_->IngestFiles("", file), what);
}

absl::Status RowStore::Impl::DropRows(const RowKey& first, const RowKey& end) {
  const rocksdb::Slice first_slice(first.data(), first.size());
  const rocksdb::Slice end_slice(end.data(), end.size());

  // Whole files go first: in the other order this could delete the file with
  // the tombstone below, and bring back what it hides.
  PARAMO_RETURN_IF_ERROR(
      FromRocks(rocksdb::DeleteFilesInRange(db, rows_cf, &first_slice,
                                            &end_slice, /*include_end=*/false),
                "deleting files of rows"));

  // The range tombstone is ingested as well: DeleteRange on the database
  // would be a write that waits behind level 0.
  const std::string file = NextFileName();
  FileRemover remove{file};
  PARAMO_RETURN_IF_ERROR(
      WriteSst(rocks_options, file, [&](rocksdb::SstFileWriter& writer) {
        return writer.DeleteRange(first_slice, end_slice);
      }));
  return IngestFiles(file, "");
}

std::string RowStore::Impl::NextFileName() {
  return absl::StrCat(sst_dir, "/", next_file++, ".sst");
}

absl::Status RowStore::Impl::IngestFiles(const std::string& rows_file,
                                         const std::string& state_file) {
  PARAMO_RETURN_IF_ERROR(WaitForL0());
  // Whether this helps shows in the ingest: an error that needs no resuming, or
  // is being recovered from at this moment, makes Resume fail as well.
  if (resume) db->Resume().PermitUncheckedError();

  rocksdb::IngestExternalFileOptions how;
  how.move_files = true;
  // The file's sequence number goes to the MANIFEST alone; the default writes
  // it into the file as well, after the file was synced.
  how.write_global_seqno = false;
  std::vector<rocksdb::IngestExternalFileArg> files;
  const std::pair<rocksdb::ColumnFamilyHandle*, const std::string*> parts[] = {
      {rows_cf, &rows_file}, {state_cf, &state_file}};
  for (const auto& [family, path] : parts) {
    if (path->empty()) continue;
    files.emplace_back();
    files.back().column_family = family;
    files.back().external_files = {*path};
    files.back().options = how;
  }
  absl::Status status =
      FromRocks(db->IngestExternalFiles(files), "ingesting rows");
  if (status.ok()) ingests.fetch_add(1, std::memory_order_relaxed);
  resume = !status.ok();
  return status;
}

size_t RowStore::Impl::L0Files() const {
  static constexpr char kLevel0[] = "rocksdb.num-files-at-level0";
  size_t most = 0;
  for (auto* family : {rows_cf, state_cf}) {
    std::string text;
    uint64_t files = 0;
    PARAMO_CHECK(db->GetProperty(family, kLevel0, &text) &&
                 absl::SimpleAtoi(text, &files));
    most = std::max<size_t>(most, files);
  }
  return most;
}

absl::Status RowStore::Impl::WaitForL0() {
  if (L0Files() < options.l0_files_max) return absl::OkStatus();
  l0_waits.fetch_add(1, std::memory_order_relaxed);
  const absl::Time deadline = absl::Now() + options.l0_wait_max;
  for (;;) {
    const uint64_t rings = bell->rings();
    const size_t files = L0Files();
    if (files < options.l0_files_max) return absl::OkStatus();
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::UnavailableError(absl::StrCat(
          "the row store has ", files, " level-0 files (limit ",
          options.l0_files_max, ") and compaction made no room within ",
          absl::FormatDuration(options.l0_wait_max),
          "; rows stay in memory and are tried again. If this goes on the "
          "disk is too slow or too full"));
    }
    bell->Wait(rings, left);
  }
}

}  // namespace paramo
