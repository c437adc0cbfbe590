// Small facts of one server at rest: RocksDB in <data directory>/meta, apart
// from the rows so that its Puts never wait behind their ingests. Holds the
// catalogue as last seen; every write is synced.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace paramo {

// Owned by the server; closed (destroyed) before main returns. Threads: any.
// Every method returns DATA_LOSS on damage, and RESOURCE_EXHAUSTED when the
// disk is full and for up to five seconds after it no longer is.
class MetaStore {
 public:
  // `create` and errors: as RowStore::Open.
  static absl::StatusOr<std::unique_ptr<MetaStore>> Open(
      const std::string& data_dir, bool create = true);
  ~MetaStore();
  MetaStore(const MetaStore&) = delete;
  MetaStore& operator=(const MetaStore&) = delete;

  absl::StatusOr<std::optional<std::string>> Get(absl::string_view key) const;
  absl::Status Put(absl::string_view key, absl::string_view value);
  // All or none, with one sync.
  absl::Status PutAll(const std::map<std::string, std::string>& entries);
  absl::Status Delete(absl::string_view key);  // OK when absent

  // Calls `visit` for every key that starts with `prefix`, in byte order.
  // Stops at, and returns, the first error.
  using Visit = std::function<absl::Status(absl::string_view key,
                                           absl::string_view value)>;
  absl::Status Scan(absl::string_view prefix, const Visit& visit) const;

 private:
  struct Impl;
  explicit MetaStore(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace paramo
