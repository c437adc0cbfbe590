// Who leads, among coordinators that share a store: whoever made the key
// `leader`, until the lease that the key hangs on is over.
//
//   candidate                                 store
//     sent = now; grant ------------------->  lease, lasts ttl
//     Txn{CREATE(leader) = 0 -> put} ------>  leader: address, attempt
//     leads until sent + ttl - margin
//     sent = now; keep alive -------------->  lasts ttl again
//     leads until sent + ttl - margin
//     ...
//     every write: Txn{CREATE(leader) = mine, ...}
//     resign: revoke --------------------->   leader is gone, others campaign
//
// Two things keep a leader that has lost the lease, and does not know it, from
// doing harm: its own deadline, taken on the steady clock from before the
// request was sent, past which it does nothing; and the guard in every
// transaction, which holds for nobody else's key.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "server/coordinator/kv_store.h"
#include "server/coordinator/state_store.h"

namespace paramo {

inline constexpr char kLeaderKey[] = "leader";

struct ElectionOptions {
  std::string address;  // of this coordinator, as clients reach it
  // etcd gives no less than 2 s, and ends a lease 0.3 to 0.5 s late.
  absl::Duration ttl = absl::Seconds(2);
  // For clocks that differ in speed, and for what is under way at the end.
  absl::Duration margin = absl::Milliseconds(300);
};

// Threads: one, but for Leads and the fence, which any thread may ask.
class Election {
 public:
  // What the store says about the leader.
  struct Leader {
    std::string address;          // empty: nobody leads, or it is unreadable
    bool there = false;           // somebody's key is there
    int64_t create_revision = 0;  // of the key
    int64_t mod_revision = 0;
    int64_t lease = 0;     // 0 while `there`: it will not go by itself
    uint64_t attempt = 0;  // random, of the campaign that made it
    int64_t revision = 0;  // of the store
  };

  // `kv` and `clock` outlive it.
  Election(KvStore& kv, const Clock& clock, ElectionOptions options);

  // Tries once; true when this process leads now. A transaction with unknown
  // outcome is looked up by its attempt id.
  // Errors: those of the store; then this process does not lead
  absl::StatusOr<bool> Campaign();

  // Asks for another ttl.
  // Errors: ABORTED    the lease is dead: leads no more
  //         any other  nobody answered; leads until its deadline
  absl::Status Renew();

  // Ends leading at once, and lets others campaign if the store can be
  // reached; if not, they wait for the lease to end. OK when not leading.
  absl::Status Resign();

  absl::StatusOr<Leader> Look();

  bool Leads() const {
    return clock_.Now() < absl::Nanoseconds(deadline_ns_.load());
  }
  // For the writes of this term.
  StoreFence fence() const;
  int64_t create_revision() const { return create_revision_; }

 private:
  absl::StatusOr<bool> Create(absl::Duration sent);
  void LeadUntil(absl::Duration deadline) {
    deadline_ns_.store(absl::ToInt64Nanoseconds(deadline));
  }

  KvStore& kv_;
  const Clock& clock_;
  const ElectionOptions options_;
  int64_t lease_ = 0;            // 0 = none
  int64_t create_revision_ = 0;  // of the key, while leading
  std::atomic<int64_t> deadline_ns_;
};

}  // namespace paramo
