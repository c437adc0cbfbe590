#include "server/coordinator/membership.h"

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/placement.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

constexpr size_t kBuildBytesMax = 256;

}  // namespace

Membership::Membership(const MembershipOptions& options, Changes& changes)
    : options_(options), changes_(changes) {
  for (uint32_t id = 0; id < options.shard_count; ++id) {
    shards_.push_back(std::make_unique<v1::Shard>());
    shards_.back()->set_id(id);
  }
}

Membership::~Membership() = default;

absl::Status Membership::LoadServer(absl::string_view value) {
  auto server = std::make_unique<v1::Server>();
  if (!server->ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      server->id() == 0) {
    return absl::DataLossError("unreadable server entry");
  }
  servers_[server->id()] = std::move(server);
  return absl::OkStatus();
}

absl::Status Membership::LoadShard(absl::string_view value) {
  auto shard = std::make_unique<v1::Shard>();
  if (!shard->ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      shard->id() >= shards_.size()) {
    return absl::DataLossError("unreadable shard entry");
  }
  shards_[shard->id()] = std::move(shard);
  return absl::OkStatus();
}

void Membership::Reconcile() {
  for (const auto& [id, server] : servers_) RenewReplicas(*server);
  PlaceWhenComplete();
}

absl::Status Membership::CheckIdentity(
    const v1::RegisterServerRequest& request) const {
  if (request.cluster_id() != 0 &&
      request.cluster_id() != options_.cluster_id) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the data directory belongs to cluster %016x, this is cluster %016x; "
        "use an empty data directory or the right coordinator",
        request.cluster_id(), options_.cluster_id));
  }
  if (request.incarnation() == 0) {
    return absl::InvalidArgumentError("incarnation is 0; draw a random one");
  }
  PARAMO_RETURN_IF_ERROR(ValidateAddress("address", request.address()));
  if (!request.metrics_address().empty()) {
    PARAMO_RETURN_IF_ERROR(
        ValidateAddress("metrics_address", request.metrics_address()));
  }
  PARAMO_RETURN_IF_ERROR(
      ValidateText("build", request.build(), kBuildBytesMax));
  if (request.server_id() == 0) return absl::OkStatus();

  const v1::Server* known = Find(request.server_id());
  if (known == nullptr || request.cluster_id() == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "server ", request.server_id(), " was never registered here; use an ",
        "empty data directory, or restore the coordinator's own"));
  }
  if (known->status() == v1::SERVER_STATUS_UP &&
      known->incarnation() != request.incarnation()) {
    return absl::AlreadyExistsError(absl::StrCat(
        "server ", known->id(), " is alive at ", known->address(),
        "; stop it first, or retry once its silence has been noticed"));
  }
  return absl::OkStatus();
}

v1::Server* Membership::FindRegistered(
    const v1::RegisterServerRequest& request) {
  if (request.server_id() != 0) {
    return servers_.at(request.server_id()).get();
  }
  for (const auto& [id, server] : servers_) {
    if (server->incarnation() == request.incarnation()) return server.get();
  }
  return nullptr;
}

absl::Status Membership::Register(const v1::RegisterServerRequest& request,
                                  v1::RegisterServerReply* reply) {
  PARAMO_RETURN_IF_ERROR(CheckIdentity(request));
  v1::Server* server = FindRegistered(request);
  if (server == nullptr) {
    if (servers_.size() >= kServersMax) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the cluster has its ", kServersMax, " servers"));
    }
    // Servers are never forgotten, so the largest id is the newest.
    uint32_t id = servers_.empty() ? 1 : servers_.rbegin()->first + 1;
    server = (servers_[id] = std::make_unique<v1::Server>()).get();
    server->set_id(id);
  }
  server->set_address(request.address());
  server->set_metrics_address(request.metrics_address());
  server->set_build(request.build());
  server->set_incarnation(request.incarnation());
  server->set_status(v1::SERVER_STATUS_UP);
  Store(*server);
  RenewReplicas(*server);
  PlaceWhenComplete();

  reply->set_cluster_id(options_.cluster_id);
  reply->set_cluster_incarnation(options_.cluster_incarnation);
  reply->set_server_id(server->id());
  return absl::OkStatus();
}

bool Membership::MarkDown(uint32_t server, uint64_t incarnation) {
  auto it = servers_.find(server);
  if (it == servers_.end() || it->second->incarnation() != incarnation ||
      it->second->status() != v1::SERVER_STATUS_UP) {
    return false;
  }
  it->second->set_status(v1::SERVER_STATUS_DOWN);
  Store(*it->second);
  return true;
}

void Membership::RenewReplicas(const v1::Server& server) {
  for (const auto& shard : shards_) {
    if (shard->primary() != server.id()) continue;
    v1::Replica* replica = shard->mutable_in_sync(0);
    if (replica->incarnation() == server.incarnation()) continue;
    replica->set_incarnation(server.incarnation());
    shard->set_epoch(shard->epoch() + 1);
    Store(*shard);
  }
}

void Membership::PlaceWhenComplete() {
  Assignment previous;
  bool complete = true;
  for (const auto& shard : shards_) {
    previous.push_back(shard->primary());
    complete = complete && shard->primary() != 0;
  }
  std::vector<uint32_t> up;
  ForEachUp([&](const v1::Server& server) { up.push_back(server.id()); });
  if (complete || up.size() < options_.servers_expected || up.empty()) return;

  Assignment placed = PlaceShards(up, previous);
  for (size_t i = 0; i < placed.size(); ++i) {
    v1::Shard& shard = *shards_[i];
    if (shard.primary() != 0) continue;  // its rows may be there already
    shard.set_primary(placed[i]);
    shard.set_epoch(shard.epoch() + 1);
    // One past per shard and cluster incarnation; never 0.
    shard.set_history(Mix64(options_.cluster_incarnation + i) | 1);
    v1::Replica* replica = shard.add_in_sync();
    replica->set_server(placed[i]);
    replica->set_incarnation(servers_.at(placed[i])->incarnation());
    Store(shard);
  }
  LogInfo("placed %d shards on %d servers", placed.size(), up.size());
}

void Membership::Store(const v1::Server& server) {
  changes_.Put(absl::StrCat("servers/", server.id()),
               server.SerializeAsString());
  changes_.MarkStateChanged();
}

void Membership::Store(const v1::Shard& shard) {
  changes_.Put(absl::StrCat("shards/", shard.id()), shard.SerializeAsString());
  changes_.MarkStateChanged();
}

const v1::Server* Membership::Find(uint32_t server) const {
  auto it = servers_.find(server);
  return it == servers_.end() ? nullptr : it->second.get();
}

uint32_t Membership::primary(uint32_t shard) const {
  return shards_[shard]->primary();
}

void Membership::ForEachUp(
    const std::function<void(const v1::Server&)>& visit) const {
  for (const auto& [id, server] : servers_) {
    if (server->status() == v1::SERVER_STATUS_UP) visit(*server);
  }
}

void Membership::FillState(v1::ClusterState* state) const {
  state->set_cluster_id(options_.cluster_id);
  state->set_cluster_incarnation(options_.cluster_incarnation);
  state->set_shard_count(options_.shard_count);
  for (const auto& [id, server] : servers_) *state->add_servers() = *server;
  for (const auto& shard : shards_) *state->add_shards() = *shard;
}

}  // namespace paramo
