// The small store that the coordinator keeps its truth in: ranges, guarded
// transactions, watches, leases, and nothing else, so that an embedded
// database and an etcd v3 cluster both fit behind it.
//
// Every change gets a revision, one number for the whole store that only
// grows. Guard writes by revision, never by value: a value can come back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace paramo {

// What one transaction may hold; etcd's limits, so that code written against
// the embedded store also runs against etcd. etcd counts the whole message
// against 1.5 MiB, we count keys and values: 64 KiB are left for 128 puts and
// 128 compares of 250 bytes beside their keys and values.
inline constexpr size_t kKvTxnOperationsMax = 128;
inline constexpr size_t kKvTxnBytesMax = (size_t{3} << 19) - (size_t{64} << 10);

struct KvEntry {
  std::string key;
  std::string value;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t lease = 0;  // 0 = none
};

struct KvRange {
  int64_t revision = 0;          // of the store when it was read
  std::vector<KvEntry> entries;  // ascending by key
};

// Holds when the key's revision equals `revision`; an absent key has 0.
struct KvCompare {
  enum class Target { kCreateRevision, kModRevision };
  std::string key;
  Target target = Target::kModRevision;
  int64_t revision = 0;
};

struct KvPut {
  std::string key;
  std::string value;
  int64_t lease = 0;  // the key goes when this lease ends; 0 = it stays
};

// All compares hold: every put and delete happens, at one revision. Otherwise
// nothing happens. No key may be named twice among puts and deletes.
struct KvTxn {
  std::vector<KvCompare> compares;
  std::vector<KvPut> puts;
  std::vector<std::string> deletes;
};

// INVALID_ARGUMENT when a key is named twice or empty, or a limit exceeded.
absl::Status CheckKvTxn(const KvTxn& txn);

struct KvTxnResult {
  bool succeeded = false;  // whether the compares held
  int64_t revision = 0;    // of the store afterwards
};

struct KvEvent {
  enum class Type { kPut, kDelete };
  Type type = Type::kPut;
  KvEntry entry;  // of a delete: key and the revision it happened at
};

// One reader of the changes below a prefix. Destroying it ends it; it must go
// before its store does. Threads: one at a time.
class KvWatch {
 public:
  virtual ~KvWatch() = default;

  // Events since the last call, in order of revision, waiting up to `timeout`
  // for the first. Empty when there were none.
  // Errors: OUT_OF_RANGE  the history it needs is gone (compacted, or the
  //                       reader fell behind): range again and watch from
  //                       that revision + 1
  //         UNAVAILABLE   the store did not answer within `timeout`; nothing
  //                       is lost, call again
  virtual absl::StatusOr<std::vector<KvEvent>> Next(absl::Duration timeout) = 0;
};

// Threads: any. Calls block for a disk or network round trip.
class KvStore {
 public:
  virtual ~KvStore() = default;

  // Every key that starts with `prefix`.
  virtual absl::StatusOr<KvRange> Range(absl::string_view prefix) = 0;

  // Durable once it has returned OK.
  // Errors: INVALID_ARGUMENT    a key twice, an empty key, or above the limits
  //         NOT_FOUND           a put names a lease that has ended
  //         RESOURCE_EXHAUSTED  the store is full; nothing happened
  //         any other           outcome unknown: read again before going on
  virtual absl::StatusOr<KvTxnResult> Txn(const KvTxn& txn) = 0;

  // Changes from `from_revision` (included) on. The store may notice only in
  // KvWatch::Next that it no longer has them.
  // Errors: OUT_OF_RANGE  as in KvWatch::Next
  virtual absl::StatusOr<std::unique_ptr<KvWatch>> Watch(
      absl::string_view prefix, int64_t from_revision) = 0;

  // A lease ends, and its keys with it, `ttl` after the last sign of life.
  // A store that restarts gives every lease its whole ttl again.
  virtual absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) = 0;

  // Returns the time the lease now has; zero (not an error) when it is dead.
  virtual absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t lease) = 0;

  // Ends it now. Ending a dead lease is OK.
  virtual absl::Status RevokeLease(int64_t lease) = 0;

  // Forgets the history before `revision`, perhaps its own too, which watches
  // might still have started from; no newest entry. Again, or lower, is OK.
  // Errors: OUT_OF_RANGE  `revision` is not there yet
  virtual absl::Status Compact(int64_t revision) = 0;
};

}  // namespace paramo
