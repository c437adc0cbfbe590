// The embedded store's class, shared by its source files and nobody else.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "rocksdb/db.h"
#include "rocksdb/write_batch.h"
#include "server/coordinator/embedded_kv.h"
#include "server/coordinator/kv_history.h"

namespace paramo {

class EmbeddedKv final : public KvStore {
 public:
  EmbeddedKv(const EmbeddedKvOptions& options, std::unique_ptr<rocksdb::DB> db)
      : clock_(*options.clock),
        db_(std::move(db)),
        history_(options.history_events) {}

  absl::Status Load();

  absl::StatusOr<KvRange> Range(absl::string_view prefix) override;
  absl::StatusOr<KvTxnResult> Txn(const KvTxn& txn) override;
  absl::StatusOr<std::unique_ptr<KvWatch>> Watch(
      absl::string_view prefix, int64_t from_revision) override;
  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override;
  absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t lease) override;
  absl::Status RevokeLease(int64_t lease) override;
  absl::Status Compact(int64_t revision) override;

 private:
  friend class EmbeddedWatch;
  struct Lease {
    absl::Duration ttl;
    absl::Duration deadline;  // on clock_
    std::set<std::string> keys;
  };
  using Entries = std::map<std::string, KvEntry, std::less<>>;

  // 8 bytes, little-endian.
  static void AppendInt(std::string& out, int64_t value);
  static int64_t ReadInt(const char* bytes);
  static std::string EncodeEntry(const KvEntry& entry);
  static bool DecodeEntry(const std::string& bytes, KvEntry& entry);

  bool Holds(const KvCompare& compare) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes puts and deletes at the next revision, then makes them visible.
  absl::Status Apply(const std::vector<KvPut>& puts,
                     const std::vector<std::string>& deletes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status EndLease(std::map<int64_t, Lease>::iterator lease)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ExpireLeases() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Write(rocksdb::WriteBatch& batch, absl::string_view what);

  const Clock& clock_;
  const std::unique_ptr<rocksdb::DB> db_;
  KvHistory history_;  // has its own lock

  Mutex mu_;
  // The whole content. It is small by design (no parameters, no positions of
  // rows), so reads never touch the disk.
  Entries entries_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, Lease> leases_ ABSL_GUARDED_BY(mu_);
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t last_lease_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace paramo
