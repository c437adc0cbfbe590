#include "server/shard/cluster_view.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/routing/routing.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo {
namespace {

// What happens to gradients and learning rates besides the rule.
absl::Status ReadGradientOptions(const v1::TableSpec& spec,
                                 TableConfig& config) {
  config.clipping.value = static_cast<float>(spec.clipping().value());
  config.clipping.norm = static_cast<float>(spec.clipping().norm());
  for (float bound : {config.clipping.value, config.clipping.norm}) {
    if (!(std::isfinite(bound) && bound >= 0)) {
      return absl::InvalidArgumentError("clipping must be finite, 0 or above");
    }
  }
  config.schedule.kind = static_cast<Schedule::Kind>(spec.schedule().kind());
  config.schedule.warmup = spec.schedule().warmup();
  config.schedule.period = spec.schedule().period();
  config.schedule.decay = spec.schedule().decay();
  config.schedule.floor = spec.schedule().floor();
  PARAMO_RETURN_IF_ERROR(config.schedule.Validate());
  config.staleness_scaling = spec.staleness_scaling();
  config.delay_compensation = static_cast<float>(spec.delay_compensation());
  if (!(config.delay_compensation >= 0 &&
        config.delay_compensation <= kDelayCompensationMax)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "delay_compensation must be 0 to ", kDelayCompensationMax));
  }
  return absl::OkStatus();
}

std::vector<ReplicaId> ReplicasOf(
    const google::protobuf::RepeatedPtrField<v1::Replica>& replicas) {
  std::vector<ReplicaId> ids;
  for (const v1::Replica& replica : replicas) {
    ids.push_back({replica.server(), replica.incarnation()});
  }
  return ids;
}

ShardConfig ConfigOf(const v1::Shard& shard) {
  ShardConfig config;
  config.epoch = shard.epoch();
  config.term = shard.term();
  config.history = shard.history();
  config.base = {shard.base().server(), shard.base().incarnation()};
  config.ended_sessions = shard.ended_sessions();
  config.primary = shard.primary();
  config.in_sync = ReplicasOf(shard.in_sync());
  config.learners = ReplicasOf(shard.learners());
  config.fencing = shard.fencing();
  config.min_insync = std::max(1u, shard.min_insync());
  return config;
}

// One entry per shard, in order: keys are routed by their number.
absl::Status CheckShards(const v1::ClusterState& state) {
  const bool counted =
      IsValidShardCount(state.shard_count()) &&
      state.shards_size() == static_cast<int>(state.shard_count());
  for (int i = 0; counted && i < state.shards_size(); ++i) {
    if (state.shards(i).id() == static_cast<uint32_t>(i)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("entry ", i, " is shard ", state.shards(i).id()));
  }
  if (counted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "shard_count ", state.shard_count(), " with ", state.shards_size(),
      " shards; it must be a power of two up to ", kShardsMax,
      " and list each shard"));
}

Durability DurabilityOf(v1::Durability proto) {
  switch (proto) {
    case v1::DURABILITY_REPLICATED:
      return Durability::kMemory;
    case v1::DURABILITY_SYNCED:
      return Durability::kSynced;
    default:
      return Durability::kWritten;
  }
}

absl::StatusOr<JobView> MakeJob(const v1::JobState& state) {
  JobView job;
  job.id = state.id();
  job.name = state.name();
  PARAMO_ASSIGN_OR_RETURN(job.sync, SyncSpecOf(state.sync()));
  job.gathering = state.phase() == v1::JOB_PHASE_WAITING;
  job.over = !job.gathering && state.phase() != v1::JOB_PHASE_RUNNING;
  for (const v1::Member& member : state.members()) {
    job.members.push_back(MemberViewOf(member));
  }
  return job;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TableConfig>> MakeTableConfig(
    const v1::Table& table) {
  const v1::TableSpec& spec = table.spec();
  if (spec.dim() == 0 || spec.dim() > kDimMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("dim ", spec.dim(), " is not in [1, ", kDimMax, "]"));
  }
  auto config = std::make_shared<TableConfig>();
  config->id = table.id();
  config->version = table.version();
  config->name = spec.name();
  config->dim = spec.dim();
  std::map<std::string, double> params(spec.rule().params().begin(),
                                       spec.rule().params().end());
  PARAMO_ASSIGN_OR_RETURN(config->rule, MakeRule(spec.rule().name(), params));
  config->initializer.kind =
      static_cast<Initializer::Kind>(spec.initializer().kind());
  config->initializer.a = spec.initializer().a();
  config->initializer.fan_in = spec.initializer().fan_in();
  config->initializer.fan_out = spec.initializer().fan_out();
  PARAMO_RETURN_IF_ERROR(config->initializer.Validate());
  config->seed = spec.seed();
  config->memory_budget = spec.memory_budget();
  if (!v1::NonFinite::Policy_IsValid(spec.non_finite().policy())) {
    return absl::InvalidArgumentError("unknown non_finite policy");
  }
  config->policy = static_cast<NonFinitePolicy>(spec.non_finite().policy());
  config->clip = static_cast<float>(spec.non_finite().clip());
  if (config->policy == NonFinitePolicy::kClip &&
      !(std::isfinite(config->clip) && config->clip > 0)) {
    return absl::InvalidArgumentError("clip must be finite and above 0");
  }
  PARAMO_RETURN_IF_ERROR(ReadGradientOptions(spec, *config));
  config->durability = DurabilityOf(spec.durability());
  config->encoded = table.SerializeAsString();
  return std::shared_ptr<const TableConfig>(std::move(config));
}

absl::StatusOr<SyncSpec> SyncSpecOf(const v1::Sync& proto) {
  if (!v1::Sync::Kind_IsValid(proto.kind())) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown kind of sync ", static_cast<int>(proto.kind())));
  }
  if (proto.kind() == v1::Sync::ROUND && proto.quorum() == 0) {
    return absl::InvalidArgumentError("a round with a quorum of 0");
  }
  SyncSpec spec;
  spec.kind = static_cast<SyncKind>(proto.kind());
  spec.staleness = proto.staleness();
  spec.backup_workers = proto.backup_workers();
  spec.quorum = proto.quorum();
  spec.deadline_ms = proto.deadline_ms();
  return spec;
}

void ToProto(const SyncSpec& spec, v1::Sync& proto) {
  proto.set_kind(static_cast<v1::Sync::Kind>(spec.kind));
  proto.set_staleness(spec.staleness);
  proto.set_backup_workers(spec.backup_workers);
  proto.set_quorum(spec.quorum);
  proto.set_deadline_ms(spec.deadline_ms);
}

MemberView MemberViewOf(const v1::Member& proto) {
  MemberView member;
  member.worker = proto.worker();
  member.session = proto.session();
  member.session_epoch = proto.session_epoch();
  member.first_clock = proto.first_clock();
  member.left = proto.left();
  member.left_clock = proto.left_clock();
  return member;
}

void ToProto(const MemberView& member, v1::Member& proto) {
  proto.set_worker(member.worker);
  proto.set_session(member.session);
  proto.set_session_epoch(member.session_epoch);
  proto.set_first_clock(member.first_clock);
  proto.set_left(member.left);
  proto.set_left_clock(member.left_clock);
}

absl::StatusOr<std::shared_ptr<const ClusterView>> MakeClusterView(
    std::shared_ptr<const v1::ClusterState> state) {
  auto view = std::make_shared<ClusterView>();
  view->version = state->version();
  view->cluster_id = state->cluster_id();
  view->cluster_incarnation = state->cluster_incarnation();
  view->newest_table = state->newest_table();
  std::map<uint32_t, std::string> addresses;
  for (const v1::Server& server : state->servers()) {
    addresses[server.id()] = server.address();
  }
  PARAMO_RETURN_IF_ERROR(CheckShards(*state));
  for (const v1::Shard& shard : state->shards()) {
    view->shards.push_back({ConfigOf(shard), addresses[shard.primary()]});
  }
  for (const v1::Table& table : state->tables()) {
    auto config = MakeTableConfig(table);
    if (!config.ok()) {
      return Annotate(config.status(),
                      absl::StrCat("table ", table.spec().name()));
    }
    view->tables[table.id()] = *std::move(config);
    view->newest_table = std::max(view->newest_table, table.id());
  }
  for (const v1::JobState& job : state->jobs()) {
    absl::StatusOr<JobView> made = MakeJob(job);
    if (!made.ok()) {
      return Annotate(made.status(), absl::StrCat("job ", job.name()));
    }
    view->jobs.push_back(*std::move(made));
  }
  view->state = std::move(state);
  return std::shared_ptr<const ClusterView>(std::move(view));
}

}  // namespace paramo
