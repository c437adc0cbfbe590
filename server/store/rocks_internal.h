// What our two RocksDB databases have in common. Internal to server/store:
// the only headers that show RocksDB types are this one and
// row_store_internal.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>
#include <rocksdb/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace paramo {

inline rocksdb::Slice ToSlice(absl::string_view text) {
  return rocksdb::Slice(text.data(), text.size());
}
inline absl::string_view ToView(const rocksdb::Slice& slice) {
  return absl::string_view(slice.data(), slice.size());
}

// `status` in our codes, which mean one thing each, with `what` in front.
absl::Status FromRocks(const rocksdb::Status& status, absl::string_view what);

struct BlockOptions {
  size_t bytes = 4 << 10;
  size_t cache_bytes = 0;  // for blocks that were read; 0: none are kept
};

// Options of both: checks on, RocksDB's log lines among ours.
rocksdb::Options BaseRocksOptions(const BlockOptions& blocks);

// RocksDB writes down the options of a database and never looks at them again.
// What cannot be read, or names another order of keys or another format, is
// not ours.
rocksdb::Status CheckOptionsFile(
    const std::string& dir, const rocksdb::DBOptions& options,
    const std::vector<rocksdb::ColumnFamilyDescriptor>& families);

// Runs `open` on the database in `dir` and says, when it fails, what a person
// can do about it. RocksDB can throw on malformed files; that ends here.
absl::Status OpenRocks(const std::string& dir,
                       const std::function<rocksdb::Status()>& open);

}  // namespace paramo
