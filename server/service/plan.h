// From the sections of a request to tasks on shards.
#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "common/wire/request.h"
#include "server/service/request.h"
#include "server/shard/cluster_view.h"
#include "server/shard/counters.h"

namespace paramo {

class Shard;

// Where a request may go.
struct PlanContext {
  const ClusterView& view;
  const std::vector<Shard*>& shards;
  ShardCounters& counters;
  uint32_t server_id = 0;
  absl::Duration deadline;
};

// Fills push, pull, tasks and pull_bytes of `served`. Sections without a shard
// are split by the routing hash; when one touches a shard of another server
// the whole section is refused with the addresses to go to.
void PlanSections(const wire::RequestView& request, const PlanContext& context,
                  const std::shared_ptr<RequestData>& data,
                  ServedRequest& served);

// Bytes of rows that the pulls of `request` would answer; 0 for tables that
// are not known.
size_t PulledBytes(const wire::RequestView& request, const ClusterView& view);

}  // namespace paramo
