// The coordinator's records in a KvStore: read whole at the start, written by
// guarded transactions afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/coordinator/changes.h"
#include "server/coordinator/kv_store.h"

namespace paramo {

// What lets only the leading one of several coordinators write. By default
// there is one coordinator, and no fence.
struct StoreFence {
  std::string key;              // made by this one when it came to lead; its
  int64_t create_revision = 0;  // transactions hold only while it is that key
  std::function<bool()> holds;  // false: too late, do nothing more

  bool absent() const { return key.empty(); }
};

// Threads: one.
class StateStore {
 public:
  explicit StateStore(KvStore& kv, StoreFence fence = {})
      : kv_(kv), fence_(std::move(fence)) {}

  // Everything there is, by key; the fence's own key left out.
  absl::StatusOr<std::map<std::string, std::string>> Load();

  // Writes all of `changes` and returns the revision they have. Every key is
  // guarded by the revision it was last seen at. More than one transaction's
  // worth is split; each part is consistent by itself (Membership::Reconcile).
  //
  // With a fence, a transaction whose outcome is unknown is looked up and, if
  // nothing happened, tried again for as long as the fence holds: nobody else
  // writes meanwhile.
  //
  // Errors: ABORTED      another writer changed a key, or leads
  //         UNAVAILABLE  the fence does not hold any more
  //         any other    the outcome may be unknown
  // After any error this process must not go on from what it has in memory.
  absl::StatusOr<int64_t> Commit(const Changes& changes);

  // UNAVAILABLE when the fence does not hold any more.
  absl::Status CheckFence() const;

  int64_t revision() const { return revision_; }

 private:
  struct Pending {
    KvTxn txn;  // without the fence's compare
    size_t bytes = 0;
  };
  enum class Outcome { kHappened, kDidNot, kOverwritten };

  // Adds to `pending`, running it whenever it is full.
  absl::Status Add(const Changes::Writes& writes, Pending& pending);
  absl::Status Run(const Pending& pending);
  // Until its outcome is known.
  absl::StatusOr<KvTxnResult> RunFenced(const KvTxn& txn);
  absl::StatusOr<Outcome> FindOutcome(const KvTxn& txn, int64_t& revision);

  KvStore& kv_;
  const StoreFence fence_;
  int64_t revision_ = 0;
  std::map<std::string, int64_t> seen_;  // mod revision per key
};

}  // namespace paramo
