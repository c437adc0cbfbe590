// Who holds a shard: what the coordinator's store says of it, what a replica
// promises, and what it reports back.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/ids.h"

namespace paramo {

// One life of a server. It survives a restart only with proof that nothing
// that was acknowledged is missing (rule 3.4).
struct ReplicaId {
  uint32_t server = 0;
  uint64_t incarnation = 0;

  friend auto operator<=>(const ReplicaId&, const ReplicaId&) = default;
};

// One shard's entry in the store. Only the coordinator changes it, and every
// change has a higher epoch.
struct ShardConfig {
  Epoch epoch = 0;
  // Epoch of the configuration that made `primary` primary by a takeover:
  // joins and shrinks keep it, so that they disturb no message under way.
  Epoch term = 0;
  HistoryId history = 0;
  // The replica whose records the history goes on from, whatever history they
  // are of; nobody: it began empty. What others have of another one is void.
  ReplicaId base;
  SessionId ended_sessions = kNoSession;  // those up to here are over
  uint32_t primary = 0;                   // server id; in in_sync; 0 = none
  std::vector<ReplicaId> in_sync;
  std::vector<ReplicaId> learners;
  bool fencing = false;  // nobody serves; in_sync names who must promise
  uint32_t min_insync = 1;

  friend bool operator==(const ShardConfig&, const ShardConfig&) = default;
};

// Rule 3.5. Durable before anything is answered or appended under it.
struct Promise {
  Epoch epoch = 0;
  Epoch term = 0;
  uint32_t primary = 0;  // 0 = fencing

  friend bool operator==(const Promise&, const Promise&) = default;
};

enum class Role {
  kNone,        // not named by the configuration
  kLearner,     // follows; its acknowledgements are not needed
  kBackup,      // follows, in sync
  kTakingOver,  // named primary; its tail is not committed yet
  kPrimary,
  kFenced,   // in sync, and waits for the next configuration
  kStopped,  // diverged or damaged; does nothing any more
};

const char* RoleName(Role role);  // "learner"

// What a server that is primary may do.
enum class Serving { kNothing, kPulls, kAll };

// To the coordinator. May be lost, late or doubled: a report is repeated while
// it holds, and every request in it is guarded by the epoch.
struct ReplicaReport {
  enum class Kind {
    kFenced,     // the promise of fencing `epoch` is durable; last_* are valid
    kJoin,       // primary: learner `peer` has everything up to the end
    kDrop,       // primary: remove `peer` from in_sync or learners
    kTakeAgain,  // named primary of a term that it led before a restart
    kStopped,    // this replica has stopped
  };
  Kind kind = Kind::kFenced;
  ShardId shard = 0;
  ReplicaId from;
  Epoch epoch = 0;       // of the highest promise
  ReplicaId peer;        // kJoin, kDrop
  Epoch last_epoch = 0;  // of its last record
  Lsn last_lsn = 0;

  friend bool operator==(const ReplicaReport&, const ReplicaReport&) = default;
};

}  // namespace paramo
