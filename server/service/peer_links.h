// This server's streams to the other servers, for replication: messages of all
// shards for one server go together, several wire messages at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/transport/data_client.h"
#include "server/replication/message.h"
#include "server/service/data_service.h"

namespace paramo {

struct ClusterView;

// Owned by the server; stopped before the shards go. Threads: any. Nothing is
// kept for a server that cannot be reached: replicas repeat what matters.
class PeerLinks {
 public:
  explicit PeerLinks(int threads);
  ~PeerLinks();
  PeerLinks(const PeerLinks&) = delete;
  PeerLinks& operator=(const PeerLinks&) = delete;

  void SetIdentity(const ServerIdentity& identity);
  // Where the servers are, by id.
  void SetAddresses(const std::map<uint32_t, std::string>& addresses);

  void Send(const ReplicaId& to, PeerMessage message);

  // Sends a CheckpointPart; `done` is called once, when it is stored there or
  // when it is not.
  void SendCheckpoint(const ReplicaId& to, std::string part,
                      std::function<void(absl::Status)> done);

  // Ends every stream; nothing is sent any more.
  void Stop();

 private:
  // To one life of a server.
  struct Link {
    ReplicaId to;
    std::unique_ptr<DataChannel> channel;
    Mutex mu;
    std::vector<PeerMessage> queue ABSL_GUARDED_BY(mu);
    size_t queue_bytes ABSL_GUARDED_BY(mu) = 0;
    int in_flight ABSL_GUARDED_BY(mu) = 0;
  };

  std::shared_ptr<Link> LinkTo(const ReplicaId& to);
  void Pump(const std::shared_ptr<Link>& link);
  // A PeerRequest whose field `field` is `body`.
  Message Encode(const Link& link, uint64_t id, int field,
                 const Rope& body) const;

  ClientExecutor executor_;

  mutable Mutex mu_;
  ServerIdentity identity_ ABSL_GUARDED_BY(mu_);
  std::map<uint32_t, std::string> addresses_ ABSL_GUARDED_BY(mu_);
  // Shared with answers under way.
  std::map<uint32_t, std::shared_ptr<Link>> links_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

// What a peer sent: who, to whom, and its messages.
struct PeerRequestView {
  uint64_t id = 0;
  uint64_t cluster = 0;
  ReplicaId from;
  uint64_t to_incarnation = 0;
  std::vector<PeerMessage> messages;
  std::string checkpoint;  // a CheckpointPart; empty: messages
};

// Errors: INVALID_ARGUMENT  not a canonical PeerRequest
//         DATA_LOSS         damaged on the way
absl::StatusOr<PeerRequestView> ParsePeerRequest(const Rope& rope);

}  // namespace paramo
