// The key lists that one server was sent lately, by their hash: those that a
// request may name instead of carrying them (docs/formats/wire.md, "Key lists
// by hash").
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "common/base/mutex.h"
#include "common/hash/hash128.h"
#include "common/wire/section.h"

namespace paramo::client {

// A guess about what the server remembers: a wrong one costs a round trip. So
// that a server with too little room for everybody's lists does not cost one
// each time, every wrong guess is followed by more lists that go whole, twice
// as many as after the one before unless most since then were right.
// Threads: any.
class SentLists {
 public:
  // A connection to the server is there.
  void OnHello(const wire::Hello& hello);

  // Whether this list is to go as its hash. If not it goes whole, and is noted;
  // one that is sent again always does.
  bool GoesAsHash(const Hash128& list, bool again);

  // Hashes that it was sent were unknown to it.
  void OnNeedKeys();

 private:
  void Forget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;
  // Of the server: whether it takes hashes at all, and which start of it that
  // was; one that has started anew knows no lists.
  bool takes_hashes_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t incarnation_ ABSL_GUARDED_BY(mu_) = 0;
  // Those used last are among the young; when these are half of what may be
  // kept, the old are dropped and the young are the old.
  absl::flat_hash_set<Hash128> young_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<Hash128> old_ ABSL_GUARDED_BY(mu_);
  // Lists still to go whole after a wrong guess, of how many; and how many went
  // as a hash since.
  uint64_t whole_left_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t whole_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t hashes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace paramo::client
