// A shard's way out of its strand: log, peers, coordinator. The service makes
// one for each shard; tests make simpler ones.
#pragma once

#include <cstddef>
#include <vector>

#include "common/base/ids.h"
#include "server/replication/replica.h"

namespace paramo {

class ShardPort : public ReplicaEffects {
 public:
  // Whether a record of `bytes` more may come; asked before a push is taken.
  virtual bool HasRoom(size_t bytes) const = 0;
  // Records up to `lsn` are in the store, and no peer needs them.
  virtual void Release(Lsn lsn) = 0;
  // What is here of the shard is not to be used again: it is made anew at the
  // next start, from another replica.
  virtual void NoteStopped() = 0;
  // Forgets what the log and the store have of the shard, whose rows are of
  // `tables`. Shard::Wiped follows, when the log has reported all it was given.
  virtual void Wipe(std::vector<TableId> tables) = 0;
};

}  // namespace paramo
