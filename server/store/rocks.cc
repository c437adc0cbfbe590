#include "server/store/rocks_internal.h"

#include <exception>
#include <filesystem>
#include <memory>
#include <system_error>

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rocks/logger.h"

namespace paramo {
namespace {

absl::StatusCode CodeOf(const rocksdb::Status& status) {
  using Code = rocksdb::Status::Code;
  if (status.IsNoSpace() || status.IsMemoryLimit()) {
    return absl::StatusCode::kResourceExhausted;
  }
  switch (status.code()) {
    case Code::kOk:
      return absl::StatusCode::kOk;
    case Code::kNotFound:
      return absl::StatusCode::kNotFound;
    case Code::kCorruption:
      return absl::StatusCode::kDataLoss;
    case Code::kInvalidArgument:
    case Code::kNotSupported:
      return absl::StatusCode::kFailedPrecondition;
    case Code::kIOError:
      // A file that the MANIFEST names and the disk lacks is lost data.
      return status.IsPathNotFound() ? absl::StatusCode::kDataLoss
                                     : absl::StatusCode::kUnavailable;
    case Code::kIncomplete:
    case Code::kTimedOut:
    case Code::kBusy:
    case Code::kTryAgain:
    case Code::kShutdownInProgress:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::string_view WhatToDo(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kDataLoss:
      return "the files are damaged or incomplete: do not edit them; restore "
             "the data directory from a copy, or move it away and start "
             "empty";
    case absl::StatusCode::kFailedPrecondition:
      return "this is not a database that this version of Paramo wrote: check "
             "the data directory, or start with an empty one";
    case absl::StatusCode::kResourceExhausted:
      return "free space on its disk";
    default:
      return "check the disk and the permissions of the data directory";
  }
}

}  // namespace

absl::Status FromRocks(const rocksdb::Status& status, absl::string_view what) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(CodeOf(status),
                      absl::StrCat(what, ": RocksDB: ", status.ToString()));
}

rocksdb::Options BaseRocksOptions(size_t cache_bytes) {
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(cache_bytes);
  // The distribution builds RocksDB's CRC32C without the instruction; XXH3 is
  // several times faster and as good against decay.
  table.checksum = rocksdb::kXXH3;

  rocksdb::Options options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;  // floats do not compress
  options.paranoid_checks = true;
  options.max_background_jobs = 2;
  options.info_log = MakeRocksLogger();
  return options;
}

absl::Status OpenRocks(const std::string& dir,
                       const std::function<rocksdb::Status()>& open) {
  const std::string what = absl::StrCat("opening ", dir);
  std::error_code error;
  std::filesystem::create_directories(dir, error);  // RocksDB would complain
  if (error) return ErrnoStatus(error.value(), what);

  absl::Status status;
  try {
    status = FromRocks(open(), what);
  } catch (const std::exception& error) {
    status = absl::DataLossError(absl::StrCat(what, ": ", error.what()));
  }
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), "; ",
                                                  WhatToDo(status.code())));
}

}  // namespace paramo
