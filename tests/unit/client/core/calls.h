// Shared by the tests of client/core: shard maps, tables and calls without a
// network.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/core/call.h"
#include "client/core/session.h"
#include "common/routing/shard_map.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::client {

// Version `version`: shards on servers 1 and 2 by turns, at epoch `epoch`.
inline v1::ClusterState MakeState(uint64_t version, uint32_t shards,
                                  uint64_t epoch) {
  v1::ClusterState state;
  state.set_cluster_id(1);
  state.set_version(version);
  state.set_shard_count(shards);
  for (uint32_t id : {1u, 2u}) {
    v1::Server* server = state.add_servers();
    server->set_id(id);
    server->set_address("server-" + std::to_string(id) + ":1");
  }
  for (uint32_t id = 0; id < shards; ++id) {
    v1::Shard* shard = state.add_shards();
    shard->set_id(id);
    shard->set_epoch(epoch);
    shard->set_history(9);
    shard->set_primary(1 + id % 2);
  }
  return state;
}

inline std::shared_ptr<const ShardMap> MakeMap(const v1::ClusterState& state) {
  return *ShardMap::FromState(state);
}

inline std::shared_ptr<const TableHandle> MakeHandle(uint32_t id,
                                                     uint32_t dim) {
  auto handle = std::make_shared<TableHandle>();
  handle->info.id = id;
  handle->info.spec.name = "table-" + std::to_string(id);
  handle->info.spec.dim = dim;
  handle->version = std::make_shared<std::atomic<uint32_t>>(1);
  return handle;
}

// A dense tensor of `elements` in blocks of `dim`.
inline std::shared_ptr<const TableHandle> MakeTensorHandle(uint32_t id,
                                                           uint32_t dim,
                                                           uint64_t elements,
                                                           uint32_t shards) {
  auto handle = std::make_shared<TableHandle>(*MakeHandle(id, dim));
  handle->info.spec.shape = {elements};
  handle->elements = elements;
  handle->blocks = std::make_shared<Split>(SplitBlocks(
      id, static_cast<uint32_t>((elements + dim - 1) / dim), shards));
  return handle;
}

inline Part PushOf(std::shared_ptr<const TableHandle> handle,
                   const std::vector<uint64_t>& keys,
                   const std::vector<float>& grads, uint32_t shards) {
  Part part;
  part.split =
      std::make_shared<Split>(SplitKeys(handle->info.id, keys, shards));
  part.handle = std::move(handle);
  part.keys = keys;
  part.grads = grads;
  return part;
}

inline Part PullOf(std::shared_ptr<const TableHandle> handle,
                   const std::vector<uint64_t>& keys, std::vector<float>& rows,
                   uint32_t shards) {
  Part part;
  part.is_pull = true;
  part.split =
      std::make_shared<Split>(SplitKeys(handle->info.id, keys, shards));
  part.handle = std::move(handle);
  part.keys = keys;
  part.rows = rows;
  return part;
}

inline std::shared_ptr<Call> MakeCall(std::vector<Part> parts,
                                      std::shared_ptr<Session> session,
                                      absl::Duration start,
                                      absl::Duration deadline, uint32_t shards,
                                      bool end_of_clock = false) {
  auto call = std::make_shared<Call>();
  call->parts = std::move(parts);
  call->session = std::move(session);
  call->start = start;
  call->deadline = deadline;
  MakeParcels(call->parts, shards, end_of_clock, call->parcels);
  call->is_push = !call->parcels.empty() && !call->parcels[0].is_pull;
  call->done = [](Call&) {};
  return call;
}

}  // namespace paramo::client
