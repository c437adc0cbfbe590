// Disk work of replicas that must not hold a strand: promises to the metadata
// store, reading the log for a peer, evicted rows from the store.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "server/log/log.h"
#include "server/replication/config.h"
#include "server/service/checkpoints.h"
#include "server/service/peer_links.h"
#include "server/service/row_fetcher.h"
#include "server/store/meta_store.h"

namespace paramo {

class Shard;

// Owned by the server; started with the shards, stopped before they go.
// Threads: any may ask; one of its own works, "replica-io", and a few read
// rows, "row-fetch".
class ReplicaIo {
 public:
  // `on_failed`: a promise could not be stored, or a shard not be wiped; the
  // server must not go on.
  ReplicaIo(MetaStore& meta, RowStore& rows, Log& log, PeerLinks& links,
            std::function<void(absl::Status)> on_failed);
  ~ReplicaIo();
  ReplicaIo(const ReplicaIo&) = delete;
  ReplicaIo& operator=(const ReplicaIo&) = delete;

  // The promise of a shard as saved last; an empty one if none was.
  static absl::StatusOr<Promise> LoadPromise(const MetaStore& meta,
                                             ShardId shard);

  // What became of the shard's replica here, if it was not made anew since.
  enum class Ending { kNone, kStopped, kRowsLost };
  static absl::StatusOr<Ending> HowEnded(const MetaStore& meta, ShardId shard);
  static absl::Status NoteRowsLost(MetaStore& meta,
                                   const std::vector<ShardId>& shards);

  void Start(std::vector<Shard*> shards);
  void Stop();

  // OnPromiseSaved follows; promises that come together share a sync.
  void SavePromise(ShardId shard, const Promise& promise);
  void NoteStopped(ShardId shard);
  // Shard::Wiped follows.
  void Wipe(ShardId shard, std::vector<TableId> tables);
  // The same at once, before Start; the log has been started.
  absl::Status WipeNow(ShardId shard, const std::vector<TableId>& tables);
  // OnLogRead or OnLogCut follows.
  void ReadLog(ShardId shard, const ReplicaId& peer, Lsn from,
               size_t bytes_max);
  // OnCheckpointSent or OnCheckpointFailed follows.
  void SendCheckpoint(ShardId shard, const ReplicaId& learner);
  // `done` is called on another thread; not when it has been stopped meanwhile.
  void FetchRows(ShardId shard, RowKeys keys,
                 std::function<void(FetchedRows)> done);
  // A part has come for one of our shards; `done` is called when it is stored.
  void TakeCheckpoint(std::string part, std::function<void(absl::Status)> done);

 private:
  void Run();
  void SavePromises(const std::map<ShardId, Promise>& promises);

  MetaStore& meta_;
  RowStore& rows_;
  Log& log_;
  PeerLinks& links_;
  CheckpointTaker taker_;  // of the thread
  const std::function<void(absl::Status)> on_failed_;
  std::vector<Shard*> shards_;  // fixed by Start
  std::thread thread_;
  RowFetcher fetcher_;

  Mutex mu_;
  CondVar wake_;
  std::map<ShardId, Promise> promises_ ABSL_GUARDED_BY(mu_);  // the newest
  std::deque<std::function<void()>> jobs_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace paramo
