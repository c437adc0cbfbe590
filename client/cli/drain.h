// How far a server is drained, as the cluster's state shows it.
#pragma once

#include <cstdint>
#include <string>

namespace paramo::v1 {
class ClusterState;
}  // namespace paramo::v1

namespace paramo::cli {

struct Drain {
  bool known = false;   // there is such a server
  bool marked = false;  // it is to be drained
  uint32_t leads = 0;   // shards
  uint32_t holds = 0;   // replicas, those of the shards that it leads included
  uint32_t stranded = 0;  // of these, backups that no other server can take
  // Why the first shard that it leads stays; empty when it leads none.
  std::string obstacle;

  bool done() const { return marked && leads == 0 && holds == stranded; }
};

Drain LookAtDrain(const v1::ClusterState& state, uint32_t server);

}  // namespace paramo::cli
