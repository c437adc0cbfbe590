#include "client/cli/drain.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

using Replicas = google::protobuf::RepeatedPtrField<v1::Replica>;

bool Names(const Replicas& replicas, uint32_t server) {
  return std::any_of(
      replicas.begin(), replicas.end(),
      [&](const v1::Replica& replica) { return replica.server() == server; });
}

// Whether a server that stays could take a replica that is drained, or is
// taking it.
bool HasTaker(const v1::ClusterState& state, const v1::Shard& shard) {
  if (!shard.learners().empty()) return true;
  return std::any_of(state.servers().begin(), state.servers().end(),
                     [&](const v1::Server& server) {
                       return server.status() == v1::SERVER_STATUS_UP &&
                              !server.drained() &&
                              !Names(shard.in_sync(), server.id());
                     });
}

std::string WhyItStays(const v1::ClusterState& state, const v1::Shard& shard) {
  if (!shard.learners().empty()) {
    return absl::StrCat("server ", shard.learners(0).server(),
                        " is still copying shard ", shard.id());
  }
  if (!HasTaker(state, shard)) {
    return absl::StrCat("shard ", shard.id(),
                        " has no replica on another server that is up, and no "
                        "other server could take one: start one");
  }
  return absl::StrCat("no other replica of shard ", shard.id(), " is in sync");
}

}  // namespace

Drain LookAtDrain(const v1::ClusterState& state, uint32_t id) {
  Drain drain;
  for (const v1::Server& server : state.servers()) {
    if (server.id() != id) continue;
    drain.known = true;
    drain.marked = server.drained();
  }
  for (const v1::Shard& shard : state.shards()) {
    if (!Names(shard.in_sync(), id) && !Names(shard.learners(), id)) continue;
    ++drain.holds;
    if (shard.primary() == id) {
      ++drain.leads;
      if (drain.obstacle.empty()) drain.obstacle = WhyItStays(state, shard);
    } else if (!HasTaker(state, shard)) {
      ++drain.stranded;
    }
  }
  return drain;
}

}  // namespace paramo::cli
