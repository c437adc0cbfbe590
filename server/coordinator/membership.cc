#include "server/coordinator/membership.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

constexpr size_t kBuildBytesMax = 256;

ReplicaSetsOptions SetsOptions(const MembershipOptions& options) {
  ReplicaSetsOptions sets;
  sets.shard_count = options.shard_count;
  sets.replicas = options.replicas;
  sets.servers_expected = options.servers_expected;
  sets.balance_after = options.balance_after;
  // One past per cluster incarnation; never 0.
  sets.history = Mix64(options.cluster_incarnation) | 1;
  return sets;
}

std::vector<ServerLife> LivesOf(
    const google::protobuf::RepeatedPtrField<v1::Replica>& replicas) {
  std::vector<ServerLife> lives;
  for (const v1::Replica& replica : replicas) {
    lives.push_back({replica.server(), replica.incarnation()});
  }
  return lives;
}

void ToProto(const ServerLife& life, v1::Replica* replica) {
  replica->set_server(life.server);
  replica->set_incarnation(life.incarnation);
}

}  // namespace

Membership::Membership(const MembershipOptions& options, Changes& changes)
    : options_(options), changes_(changes), sets_(SetsOptions(options)) {}

Membership::~Membership() = default;

absl::Status Membership::LoadServer(absl::string_view value) {
  auto server = std::make_unique<v1::Server>();
  if (!server->ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      server->id() == 0) {
    return absl::DataLossError("unreadable server entry");
  }
  server->clear_out_of_reach();  // until it is known
  sets_.LoadServer(server->id(), server->drained());
  servers_[server->id()] = std::move(server);
  return absl::OkStatus();
}

absl::Status Membership::LoadShard(absl::string_view value) {
  v1::Shard shard;
  if (!shard.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      shard.id() >= options_.shard_count || shard.in_sync().empty()) {
    return absl::DataLossError("unreadable shard entry");
  }
  ReplicaSet set;
  set.epoch = shard.epoch();
  set.term = shard.term() != 0 ? shard.term() : shard.epoch();
  set.history = shard.history();
  set.base = {shard.base().server(), shard.base().incarnation()};
  set.ended_sessions = shard.ended_sessions();
  set.primary = shard.primary();
  set.fencing = shard.fencing();
  set.in_sync = LivesOf(shard.in_sync());
  set.learners = LivesOf(shard.learners());
  sets_.Load(shard.id(), std::move(set));
  return absl::OkStatus();
}

void Membership::Reconcile(absl::Duration now) {
  sets_.Resume();
  ForEachUp([&](const v1::Server& server) {
    ServerUp(server, now, /*continues=*/0);
  });
  StoreChangedSets();
}

void Membership::ServerUp(const v1::Server& server, absl::Duration now,
                          uint64_t continues) {
  sets_.ServerUp(
      {server.id(), server.incarnation()}, now,
      {server.damaged_shards().begin(), server.damaged_shards().end()},
      continues);
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
                                  v1::RegisterServerReply* reply,
                                  absl::Duration now) {
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
  server->clear_out_of_reach();
  *server->mutable_damaged_shards() = request.damaged_shards();
  Store(*server);
  ServerUp(*server, now, request.continues());
  StoreChangedSets();

  reply->set_cluster_id(options_.cluster_id);
  reply->set_cluster_incarnation(options_.cluster_incarnation);
  reply->set_server_id(server->id());
  return absl::OkStatus();
}

bool Membership::MarkDown(uint32_t server, uint64_t incarnation,
                          absl::Duration now) {
  auto it = servers_.find(server);
  if (it == servers_.end() || it->second->incarnation() != incarnation ||
      it->second->status() != v1::SERVER_STATUS_UP) {
    return false;
  }
  it->second->set_status(v1::SERVER_STATUS_DOWN);
  Store(*it->second);
  sets_.ServerDown({server, incarnation}, now);
  Tick(now);  // all of its shards are fenced in this step
  return true;
}

absl::Status Membership::Transfer(ShardId shard, uint32_t server) {
  PARAMO_RETURN_IF_ERROR(sets_.Transfer(shard, server));
  StoreChangedSets();
  return absl::OkStatus();
}

absl::Status Membership::PromoteUnsafely(ShardId id, uint32_t server,
                                         SessionId ended_sessions,
                                         v1::Shard* shard) {
  PARAMO_RETURN_IF_ERROR(sets_.PromoteUnsafely(id, server, ended_sessions));
  StoreChangedSets();
  FillShard(id, shard);
  LogWarning(
      "shard %d goes on %s server %d, in history %016x, at an operator's word: "
      "pushes that were acknowledged may be lost",
      id, server == 0 ? "empty, on" : "from what was left on", shard->primary(),
      shard->history());
  return absl::OkStatus();
}

absl::Status Membership::SetDrained(uint32_t id, bool drained) {
  auto it = servers_.find(id);
  if (it == servers_.end()) {
    return absl::NotFoundError(absl::StrCat(
        "there is no server ", id, "; `paramo server list` shows them"));
  }
  v1::Server& server = *it->second;
  if (server.drained() == drained) return absl::OkStatus();
  bool others = false;
  ForEachUp([&](const v1::Server& other) {
    others |= other.id() != id && !other.drained();
  });
  if (drained && !others) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no server but ", id, " is up and not drained, so nobody could take ",
        "what it holds; start or undrain another one first"));
  }
  server.set_drained(drained);
  Store(server);
  sets_.SetDrained(id, drained);
  LogInfo("server %d is %s", id, drained ? "drained" : "drained no longer");
  return absl::OkStatus();
}

void Membership::SetReach(const std::map<ServerLife, Reach>& reach,
                          absl::Duration now) {
  sets_.SetReach(reach, now);
  for (const auto& [id, server] : servers_) {
    const bool gone = sets_.OutOfReach(id);
    if (gone == server->out_of_reach()) continue;
    server->set_out_of_reach(gone);
    Store(*server);
    if (gone) {
      LogWarning(
          "server %d beats, but nobody answers at %s: its shards go to others",
          id, server->address());
    } else {
      LogInfo("server %d is out of reach no longer", id);
    }
  }
}

void Membership::OnReports(const v1::HeartbeatRequest& beat,
                           absl::Duration now) {
  for (const v1::ReplicaReport& report : beat.replicas()) {
    ReplicaNews news;
    switch (report.kind()) {
      case v1::ReplicaReport::FENCED:
        news.kind = ReplicaNews::Kind::kFenced;
        break;
      case v1::ReplicaReport::JOIN:
        news.kind = ReplicaNews::Kind::kJoin;
        break;
      case v1::ReplicaReport::DROP:
        news.kind = ReplicaNews::Kind::kDrop;
        break;
      case v1::ReplicaReport::TAKE_AGAIN:
        news.kind = ReplicaNews::Kind::kTakeAgain;
        break;
      case v1::ReplicaReport::STOPPED:
        news.kind = ReplicaNews::Kind::kStopped;
        break;
      default:
        continue;  // of a newer build
    }
    news.shard = report.shard();
    news.from = {beat.server_id(), beat.incarnation()};
    news.epoch = report.epoch();
    news.peer = {report.peer().server(), report.peer().incarnation()};
    news.last_epoch = report.last_epoch();
    news.last_lsn = report.last_lsn();
    sets_.OnNews(news, now);
    if (news.kind == ReplicaNews::Kind::kTakeAgain) TellIfItWaits(news);
  }
  StoreChangedSets();
}

void Membership::TellIfItWaits(const ReplicaNews& news) {
  if (!sets_.safe_mode() || news.shard >= sets_.sets().size()) return;
  const ReplicaSet& set = sets_.sets()[news.shard];
  if (set.fencing || set.primary != news.from.server) return;
  if (!waiting_.insert(news.shard).second) return;
  LogWarning(
      "shard %d is not served: its primary, server %d, started again, and "
      "nobody is made primary until half of the servers are up",
      news.shard, set.primary);
}

void Membership::Tick(absl::Duration now) {
  sets_.Tick(now);
  StoreChangedSets();
  if (sets_.safe_mode() && !alarmed_) {
    LogError(
        "more than half of the servers look dead: nothing is moved until half "
        "are back. Is this coordinator cut off?");
  }
  alarmed_ = sets_.safe_mode();
  if (!alarmed_) waiting_.clear();
}

void Membership::StoreChangedSets() {
  for (ShardId id : sets_.TakeChanged()) {
    v1::Shard shard;
    FillShard(id, &shard);
    changes_.Put(absl::StrCat("shards/", id), shard.SerializeAsString());
    changes_.MarkStateChanged();
  }
}

void Membership::FillShard(ShardId id, v1::Shard* shard) const {
  const ReplicaSet& set = sets_.sets()[id];
  shard->set_id(id);
  shard->set_epoch(set.epoch);
  shard->set_term(set.term);
  shard->set_history(set.history);
  if (set.base.server != 0) ToProto(set.base, shard->mutable_base());
  shard->set_ended_sessions(set.ended_sessions);
  shard->set_primary(set.primary);
  shard->set_fencing(set.fencing);
  shard->set_min_insync(options_.min_insync);
  for (const ServerLife& life : set.in_sync) {
    ToProto(life, shard->add_in_sync());
  }
  for (const ServerLife& life : set.learners) {
    ToProto(life, shard->add_learners());
  }
}

void Membership::Store(const v1::Server& server) {
  changes_.Put(absl::StrCat("servers/", server.id()),
               server.SerializeAsString());
  changes_.MarkStateChanged();
}

const v1::Server* Membership::Find(uint32_t server) const {
  auto it = servers_.find(server);
  return it == servers_.end() ? nullptr : it->second.get();
}

std::vector<uint32_t> Membership::ServersOf(uint32_t shard) const {
  std::vector<uint32_t> servers;
  const ReplicaSet& set = sets_.sets()[shard];
  for (const ServerLife& life : set.in_sync) servers.push_back(life.server);
  for (const ServerLife& life : set.learners) servers.push_back(life.server);
  return servers;
}

void Membership::ForEachUp(
    const std::function<void(const v1::Server&)>& visit) const {
  for (const auto& [id, server] : servers_) {
    if (server->status() == v1::SERVER_STATUS_UP) visit(*server);
  }
}

bool Membership::AllPrimariesUp() const {
  return std::all_of(
      sets_.sets().begin(), sets_.sets().end(), [this](const ReplicaSet& set) {
        if (set.epoch == 0) return true;
        const v1::Server* server = Find(set.primary);
        return server != nullptr && server->status() == v1::SERVER_STATUS_UP;
      });
}

void Membership::FillState(v1::ClusterState* state) const {
  state->set_cluster_id(options_.cluster_id);
  state->set_cluster_incarnation(options_.cluster_incarnation);
  state->set_shard_count(options_.shard_count);
  for (const auto& [id, server] : servers_) *state->add_servers() = *server;
  for (ShardId id = 0; id < options_.shard_count; ++id) {
    FillShard(id, state->add_shards());
  }
}

}  // namespace paramo
