// A shard's way out of its strand: log, peers, coordinator. The service makes
// one for each shard; tests make simpler ones.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "common/base/ids.h"
#include "server/replication/replica.h"
#include "server/store/row_fetch.h"

namespace paramo {

class ShardPort : public ReplicaEffects {
 public:
  // Whether a record of `bytes` more may come; asked before a push is taken.
  virtual bool HasRoom(size_t bytes) const = 0;
  // Records up to `lsn` are in the store, and no peer needs them.
  virtual void Release(Lsn lsn) = 0;
  // Reads evicted rows of the shard. `done` is called once, on another thread,
  // or never when the server stops.
  virtual void FetchRows(RowKeys keys,
                         std::function<void(FetchedRows)> done) = 0;
  // What is here of the shard is not to be used again: it is made anew at the
  // next start, from another replica.
  virtual void NoteStopped() = 0;
  // Forgets what the log and the store have of the shard, whose rows are of
  // `tables`. Shard::Wiped follows, when the log has reported all it was given.
  virtual void Wipe(std::vector<TableId> tables) = 0;
};

}  // namespace paramo
