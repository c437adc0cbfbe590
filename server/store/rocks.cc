#include "server/store/rocks_internal.h"

#include <exception>
#include <filesystem>
#include <memory>
#include <system_error>

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/options_util.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rocks/logger.h"

namespace paramo {
namespace {

// RocksDB has no code for it; the message names the file.
bool IsLockHeld(const rocksdb::Status& status) {
  return status.IsIOError() && absl::StrContains(status.ToString(), "/LOCK: ");
}

absl::StatusCode CodeOf(const rocksdb::Status& status) {
  using Code = rocksdb::Status::Code;
  if (IsLockHeld(status)) return absl::StatusCode::kFailedPrecondition;
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

// What else a person can do when a database cannot be opened.
absl::string_view WhatToDo(const rocksdb::Status& status) {
  if (IsLockHeld(status)) {
    return "another process uses it: stop that one, or give this server a "
           "data directory of its own";
  }
  switch (CodeOf(status)) {
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
  const absl::StatusCode code = CodeOf(status);
  const absl::string_view advice =
      code != absl::StatusCode::kDataLoss
          ? ""
          : "; the files are damaged or incomplete: do not edit them; restore "
            "the data directory from a copy, or move it away and start empty";
  return absl::Status(
      code, absl::StrCat(what, ": RocksDB: ", status.ToString(), advice));
}

rocksdb::Options BaseRocksOptions(const BlockOptions& blocks) {
  rocksdb::BlockBasedTableOptions table;
  table.block_size = blocks.bytes;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  if (blocks.cache_bytes > 0) {
    table.block_cache = rocksdb::NewLRUCache(blocks.cache_bytes);
  } else {
    table.no_block_cache = true;
  }
  // The distribution builds RocksDB's CRC32C without the instruction; XXH3 is
  // several times faster and as good against decay.
  table.checksum = rocksdb::kXXH3;

  rocksdb::Options options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;  // floats do not compress
  options.paranoid_checks = true;
  options.max_background_jobs = 2;
  // Files are on their way to the disk while they are written: a burst at
  // their end would make the log's syncs wait.
  options.bytes_per_sync = uint64_t{1} << 20;
  options.info_log = MakeRocksLogger();
  return options;
}

rocksdb::Status CheckOptionsFile(
    const std::string& dir, const rocksdb::DBOptions& options,
    const std::vector<rocksdb::ColumnFamilyDescriptor>& families) {
  std::string file;
  auto status =
      rocksdb::GetLatestOptionsFileName(dir, rocksdb::Env::Default(), &file);
  if (!status.ok()) return rocksdb::Status::OK();  // a new database
  rocksdb::ConfigOptions config;
  config.ignore_unknown_options = true;  // of a later RocksDB
  config.sanity_level =
      rocksdb::ConfigOptions::SanityLevel::kSanityLevelLooselyCompatible;
  status = rocksdb::CheckOptionsCompatibility(config, dir, options, families);
  if (status.ok()) return status;
  return rocksdb::Status::InvalidArgument(file, status.ToString());
}

absl::Status OpenRocks(const std::string& dir,
                       const std::function<rocksdb::Status()>& open) {
  const std::string what = absl::StrCat("opening ", dir);
  std::error_code error;
  std::filesystem::create_directories(dir, error);  // RocksDB would complain
  if (error) return ErrnoStatus(error.value(), what);

  rocksdb::Status status;
  try {
    status = open();
  } catch (const std::exception& thrown) {
    status = rocksdb::Status::Corruption(thrown.what());
  }
  if (status.ok()) return absl::OkStatus();
  const absl::Status failed = FromRocks(status, what);
  if (absl::IsDataLoss(failed)) return failed;  // says it already
  return absl::Status(failed.code(),
                      absl::StrCat(failed.message(), "; ", WhatToDo(status)));
}

}  // namespace paramo
