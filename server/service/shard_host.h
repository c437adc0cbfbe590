// The shards of one server: made once, filled from the store and the log,
// brought to every new cluster state, and their deadlines kept.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/clock/clock.h"
#include "server/service/replica_port.h"
#include "server/service/server_log.h"
#include "server/service/stored_rows.h"
#include "server/shard/cluster_view.h"
#include "server/shard/counters.h"
#include "server/shard/shard.h"
#include "server/store/meta_store.h"
#include "server/store/row_store.h"

namespace paramo {

// Owned by the server. Threads: Apply from one thread (the coordinator link's);
// the others from any. One internal thread gives shards the time.
class ShardHost {
 public:
  // `on_in_force` is called when VersionInForce has grown; must not block.
  // `stored`: what the store had at the start.
  ShardHost(RowStore& rows, std::vector<StoredShard> stored, MetaStore& meta,
            const Clock& clock, ShardCounters& counters,
            std::function<void()> on_in_force);
  ~ShardHost();

  // Where records go, and what the log held when it was opened. Before the
  // first Apply; all of it outlives the shards.
  void SetWorld(ServerLog& log, PeerLinks& links, ReplicaIo& io,
                ReportBoard& reports) {
    log_ = &log;
    io_ = &io;
    world_ = {&log.log(), &links, &io, &reports};
  }

  // Per shard, the last record that the store needs no more, as of the last
  // run. For opening the log.
  absl::flat_hash_map<ShardId, Lsn> StoredLsns() const;

  // Whether every table of the last run had its pushes at least `logged`, so
  // that the log holds all that was acknowledged. True for a new server.
  bool LogHoldsEverything() const;

  // Brings every shard to `view`; the first time it makes them, and loads
  // those that this server holds. Returns when it is in force everywhere.
  // Errors: DATA_LOSS and others of the store; the shards are then not usable
  absl::Status Apply(std::shared_ptr<const ClusterView> view,
                     const ReplicaId& self);

  // Index = shard id; empty before the first Apply.
  std::vector<Shard*> shards() const;

  // Runs `read` on each shard's strand, in turn, and waits for it.
  void ForEachShard(const std::function<void(Shard&)>& read) const;

  // Per job, the highest round open on some shard here. Never waits.
  std::map<uint32_t, WorkerClock> OpenRounds() const {
    return round_board_.Snapshot();
  }

  // The newest cluster state that is in force on every shard. Never waits.
  uint64_t VersionInForce() const;

  // Shards of which the log may have lost something or the store has lost the
  // rows, and those that stopped.
  absl::StatusOr<std::vector<ShardId>> Damaged(
      const LogRecovery& recovery) const;

  // From now on every shard refuses; what waits is answered.
  void StopServing();

 private:
  absl::Status MakeShards(const ClusterView& view, const ReplicaId& self);
  absl::Status FindVoid(const ClusterView& view, const ReplicaId& self);
  absl::Status MakeAnew(const ClusterView& view);
  absl::Status LoadAll(const std::vector<std::unique_ptr<Shard>>& shards);
  absl::Status Load(Shard& shard, StoredShard read,
                    const LogRecovery& recovery) const;
  absl::Status DropVanishedTables(const ClusterView& view);
  void Tick();

  RowStore& rows_;
  std::vector<StoredShard> stored_;  // until the shards are made
  MetaStore& meta_;
  std::set<ShardId> anew_;  // what the store and the log had of them is void
  std::set<ShardId> lost_;  // likewise, and nobody else has it
  ServerLog* log_ = nullptr;
  ReplicaIo* io_ = nullptr;
  ReplicaWorld world_;
  const Clock& clock_;
  ShardCounters& counters_;
  const std::function<void()> on_in_force_;
  uint64_t told_version_ = 0;      // of the ticking thread
  std::atomic<size_t> parked_{0};  // shared by all shards
  RoundBoard round_board_;         // likewise

  mutable Mutex mu_;
  CondVar wake_;
  std::vector<std::unique_ptr<ReplicaPort>> ports_;  // fixed by MakeShards
  std::vector<std::unique_ptr<Shard>> shards_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread ticking_;
};

}  // namespace paramo
