// Checkpoints of shards between servers: sent part by part to a learner that
// the log does not reach, taken part by part from a primary.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "server/service/peer_links.h"
#include "server/store/row_fetch.h"
#include "server/store/row_store.h"
#include "server/table/table_shard.h"

namespace paramo {

namespace v1 {
class CheckpointPart;
class ShardState;
}  // namespace v1

class Shard;

// Rows of one part: a few milliseconds of a strand, and of the network.
inline constexpr size_t kCheckpointPartBytes = size_t{1} << 20;

// Sends one shard's checkpoint; deletes itself when the replica has been told
// how it ended. One part is on the way at a time.
class CheckpointSender : public std::enable_shared_from_this<CheckpointSender> {
 public:
  // Reads evicted rows of the shard; what it calls may be on any thread.
  using Fetch = std::function<void(RowKeys, std::function<void(FetchedRows)>)>;

  CheckpointSender(Shard& shard, const ReplicaId& learner, PeerLinks& links,
                   Fetch fetch);
  ~CheckpointSender();
  void Start();

 private:
  struct Progress;

  void SendNext();  // on the strand
  void FetchAndSend(v1::CheckpointPart part, std::vector<Key> cold);
  void Send(const v1::CheckpointPart& part);
  void OnSent(const absl::Status& status);
  void End(bool sent);

  Shard& shard_;
  const ReplicaId learner_;
  PeerLinks& links_;
  const Fetch fetch_;
  std::unique_ptr<Progress> progress_;
};

// Takes the parts that come; one checkpoint per shard at a time, the newest.
// Threads: one (the server's replica-io).
class CheckpointTaker {
 public:
  explicit CheckpointTaker(RowStore& rows);
  ~CheckpointTaker();

  // Errors: any  the sender must begin anew
  absl::Status Take(Shard& shard, const v1::CheckpointPart& part);
  // What has come of one for the shard is void.
  void Forget(ShardId shard);

 private:
  struct Incoming;

  absl::Status Begin(Shard& shard, const v1::CheckpointPart& part);
  absl::Status AddRows(Incoming& incoming, const v1::CheckpointPart& part);
  absl::Status End(Shard& shard, Incoming& incoming);

  RowStore& rows_;
  std::map<ShardId, std::unique_ptr<Incoming>> incoming_;
};

}  // namespace paramo
