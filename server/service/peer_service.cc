#include "server/service/peer_service.h"

#include <utility>

#include "common/wire/reply.h"
#include "server/service/replica_io.h"
#include "server/service/shard_host.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

Counter& Refused(MetricsRegistry& metrics, const char* reason) {
  return metrics.AddCounter("paramo_peer_refused_total",
                            "Replication messages not taken, by reason",
                            {{"reason", reason}});
}

}  // namespace

PeerService::PeerService(ShardHost& shards, MetricsRegistry& metrics)
    : shards_(shards),
      malformed_(Refused(metrics, "malformed")),
      damaged_(Refused(metrics, "damaged")),
      other_cluster_(Refused(metrics, "other_cluster")),
      other_incarnation_(Refused(metrics, "other_incarnation")),
      no_such_shard_(Refused(metrics, "no_such_shard")),
      // In the order of PeerVerdict.
      verdicts_{nullptr,
                &Refused(metrics, "not_held"),
                &Refused(metrics, "other_term"),
                &Refused(metrics, "gap"),
                &malformed_,
                &Refused(metrics, "conflict"),
                &Refused(metrics, "diverged")} {}

void PeerService::Start(const ServerIdentity& self, ReplicaIo& io) {
  MutexLock lock(mu_);
  self_ = self;
  io_ = &io;
}

void PeerService::Handle(std::unique_ptr<IncomingCall> call) {
  absl::StatusOr<PeerRequestView> request = ParsePeerRequest(call->request());
  if (!request.ok()) {
    (absl::IsDataLoss(request.status()) ? damaged_ : malformed_).Add();
    return call->Fail(request.status());
  }
  ServerIdentity self;
  {
    MutexLock lock(mu_);
    self = self_;
  }
  if (request->cluster != self.cluster_id) {
    other_cluster_.Add();
    return call->Fail(
        absl::FailedPreconditionError("this server is of another cluster"));
  }
  progress_.fetch_add(1, std::memory_order_relaxed);
  const uint64_t id = request->id;
  if (request->to_incarnation != self.incarnation) {
    other_incarnation_.Add();
  } else if (!request->checkpoint.empty()) {
    return TakeCheckpoint(std::move(call), *std::move(request));
  } else {
    Deliver(*std::move(request));
  }
  call->Reply(wire::WriteReply(id, 0, wire::Reason::kNone, 0, "",
                               /*hello=*/nullptr));
}

void PeerService::Deliver(PeerRequestView request) {
  const std::vector<Shard*> all = shards_.shards();
  for (PeerMessage& message : request.messages) {
    if (message.shard >= all.size()) {
      no_such_shard_.Add();
      continue;
    }
    Shard* shard = all[message.shard];
    shard->Post([this, shard, from = request.from,
                 message = std::move(message)]() mutable {
      shard->WithReplica([&](Replica& replica, absl::Duration now) {
        const PeerVerdict verdict =
            replica.OnMessage(from, std::move(message), now);
        if (verdict == PeerVerdict::kTaken) return;
        verdicts_[static_cast<size_t>(verdict)]->Add();
      });
    });
  }
}

void PeerService::TakeCheckpoint(std::unique_ptr<IncomingCall> call,
                                 PeerRequestView request) {
  ReplicaIo* io;
  {
    MutexLock lock(mu_);
    io = io_;
  }
  std::shared_ptr<IncomingCall> shared = std::move(call);  // with the job
  io->TakeCheckpoint(
      std::move(request.checkpoint),
      [shared, id = request.id](const absl::Status& status) {
        shared->Reply(wire::WriteReply(
            id, static_cast<uint32_t>(status.code()), wire::Reason::kNone, 0,
            std::string(status.message()), /*hello=*/nullptr));
      });
}

}  // namespace paramo
