// Step 1 of the data path: a received Request becomes section tasks on shards,
// or a refusal. Decodes a view, never copies the payload; checks what concerns
// the request as a whole; admits it against the memory budget.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/clock/clock.h"
#include "common/mem/budget.h"
#include "common/metrics/metrics.h"
#include "common/transport/incoming_call.h"
#include "common/wire/request.h"
#include "server/service/key_lists.h"
#include "server/service/request.h"
#include "server/shard/cluster_view.h"
#include "server/shard/counters.h"

namespace paramo {

class Shard;

// Who this server is, once the coordinator has told.
struct ServerIdentity {
  uint64_t cluster_id = 0;
  uint64_t cluster_incarnation = 0;
  uint32_t server_id = 0;
  uint64_t incarnation = 0;
};

// Owned by the server. Threads: any.
class DataService {
 public:
  // `held` bounds received bytes, `replies` the blocks of answers.
  DataService(const Clock& clock, Budget& held, Budget& replies,
              MetricsRegistry& metrics, ShardCounters& counters);

  // The handler of the transport. Never blocks.
  void Handle(std::unique_ptr<IncomingCall> call);

  // Called by the server as it learns who it is, what shards there are (index
  // = shard id; they outlive the service) and what the cluster looks like.
  void SetIdentity(const ServerIdentity& identity);
  // Told with every Hello. Before the first request.
  void OfferShm(std::string directory, uint64_t token);
  void SetView(std::shared_ptr<const ClusterView> view,
               std::vector<Shard*> shards);
  std::shared_ptr<const ClusterView> view() const;

  // Requests being worked on.
  size_t in_flight() const;

  // Grows with every request that has sections, when it begins and when it
  // ends.
  uint64_t progress() const {
    return progress_.load(std::memory_order_relaxed);
  }

 private:
  // What routing a request needs, read once per request.
  struct Routing {
    ServerIdentity identity;
    std::shared_ptr<const ClusterView> view;
    std::shared_ptr<const std::vector<Shard*>> shards;
    uint64_t version() const { return view == nullptr ? 0 : view->version; }
  };

  void AnswerHello(IncomingCall& call, const wire::RequestView& request,
                   const Routing& routing);
  absl::Status CheckRequest(const IncomingCall& call,
                            const wire::RequestView& request,
                            const Routing& routing, wire::Reason& reason) const;
  absl::Status Admit(const wire::RequestView& request, const Routing& routing,
                     RequestData& data, BudgetCharge& reply_charge,
                     wire::Reason& reason);
  void Dispatch(std::unique_ptr<IncomingCall> call, wire::RequestView request,
                const Routing& routing, std::shared_ptr<RequestData> data,
                BudgetCharge reply_charge);
  void RefuseAll(IncomingCall& call, uint64_t id, uint64_t version,
                 wire::Reason reason, const absl::Status& status);
  Routing CurrentRouting() const;

  // Fixed before the first request.
  std::string shm_directory_;
  uint64_t shm_token_ = 0;

  // Fixed at construction.
  const Clock& clock_;
  Budget& held_;
  Budget& replies_;
  ShardCounters& counters_;
  Counter& requests_;
  Counter& received_bytes_;
  Counter& sent_bytes_;
  Counter& fallback_;  // requests that needed the generated parser
  Gauge& in_flight_;
  Histogram& latency_;

  KeyLists key_lists_;                 // has its own lock
  std::atomic<uint64_t> progress_{0};  // relaxed: a number on its own

  mutable Mutex mu_;
  Routing routing_ ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo
