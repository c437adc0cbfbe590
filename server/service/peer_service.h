// The receiving end of replication: what other servers' replicas say to ours,
// and how much of it was refused.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "common/base/mutex.h"
#include "common/metrics/metrics.h"
#include "common/transport/incoming_call.h"
#include "server/replication/replica.h"
#include "server/service/data_service.h"
#include "server/service/peer_links.h"

namespace paramo {

class ReplicaIo;
class ShardHost;

// Owned by the server. Threads: any.
class PeerService {
 public:
  // Both outlive it.
  PeerService(ShardHost& shards, MetricsRegistry& metrics);

  // Before this nobody is heard. `io` outlives the transport.
  void Start(const ServerIdentity& self, ReplicaIo& io);

  // A message of a Replicate stream behind its Hello. The stream of a peer
  // that is of another cluster, or that cannot be read, ends; what is for
  // another life of this server, or not for a replica here, is counted and
  // dropped: what matters is repeated. Never blocks.
  void Handle(std::unique_ptr<IncomingCall> call);

  // Messages of this cluster so far.
  uint64_t progress() const {
    return progress_.load(std::memory_order_relaxed);
  }

 private:
  void Deliver(PeerRequestView request);
  void TakeCheckpoint(std::unique_ptr<IncomingCall> call,
                      PeerRequestView request);

  ShardHost& shards_;
  Counter& malformed_;
  Counter& damaged_;
  Counter& other_cluster_;
  Counter& other_incarnation_;
  Counter& no_such_shard_;
  std::array<Counter*, kPeerVerdictCount> verdicts_;

  std::atomic<uint64_t> progress_{0};  // relaxed: a number on its own

  Mutex mu_;
  ServerIdentity self_ ABSL_GUARDED_BY(mu_);
  ReplicaIo* io_ ABSL_GUARDED_BY(mu_) = nullptr;
};

}  // namespace paramo
