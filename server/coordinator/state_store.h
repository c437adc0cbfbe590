// The coordinator's records in a KvStore: read whole at the start, written by
// guarded transactions afterwards.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/coordinator/changes.h"
#include "server/coordinator/kv_store.h"

namespace paramo {

// Threads: one.
class StateStore {
 public:
  explicit StateStore(KvStore& kv) : kv_(kv) {}

  // Everything there is, by key.
  absl::StatusOr<std::map<std::string, std::string>> Load();

  // Writes all of `changes` and returns the revision they have. Every key is
  // guarded by the revision it was last seen at. More than one transaction's
  // worth is split; each part is consistent by itself (Membership::Reconcile).
  //
  // Errors: ABORTED    another writer changed a key
  //         any other  the outcome may be unknown
  // After any error this process must not go on from what it has in memory.
  absl::StatusOr<int64_t> Commit(const Changes& changes);

  int64_t revision() const { return revision_; }

 private:
  struct Pending {
    KvTxn txn;
    size_t bytes = 0;
  };

  // Adds to `pending`, running it whenever it is full.
  absl::Status Add(const Changes::Writes& writes, Pending& pending);
  absl::Status Run(const Pending& pending);

  KvStore& kv_;
  int64_t revision_ = 0;
  std::map<std::string, int64_t> seen_;  // mod revision per key
};

}  // namespace paramo
