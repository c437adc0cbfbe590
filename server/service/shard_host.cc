#include "server/service/shard_host.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/service/run_on.h"

namespace paramo {
namespace {

// How often replicas get the time, and how late a parked request may learn that
// its deadline has passed.
constexpr absl::Duration kTickPeriod = absl::Milliseconds(10);

constexpr char kLastStateKey[] = "cluster_state";

// As this server last saw it; empty for a new server.
absl::StatusOr<v1::ClusterState> LastClusterState(const MetaStore& meta) {
  PARAMO_ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                          meta.Get(kLastStateKey));
  v1::ClusterState state;
  if (bytes.has_value() && !state.ParseFromString(*bytes)) {
    return absl::DataLossError("the last cluster state cannot be read");
  }
  return state;
}

}  // namespace

ShardHost::ShardHost(RowStore& rows, MetaStore& meta, const Clock& clock,
                     ShardCounters& counters, std::function<void()> on_in_force)
    : rows_(rows),
      meta_(meta),
      clock_(clock),
      counters_(counters),
      on_in_force_(std::move(on_in_force)) {
  ticking_ = std::thread([this] { Tick(); });
}

ShardHost::~ShardHost() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  ticking_.join();
}

std::vector<Shard*> ShardHost::shards() const {
  MutexLock lock(mu_);
  std::vector<Shard*> shards;
  for (const auto& shard : shards_) shards.push_back(shard.get());
  return shards;
}

absl::Status ShardHost::Apply(std::shared_ptr<const ClusterView> view,
                              const ReplicaId& self) {
  if (shards().empty()) {
    PARAMO_RETURN_IF_ERROR(MakeShards(*view, self));
  }
  if (view->shards.size() != shards().size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the cluster state has ", view->shards.size(),
                     " shards, this server ", shards().size(),
                     ": their number never changes; is this another "
                     "cluster?"));
  }
  for (Shard* shard : shards()) {
    RunOn(*shard, [&] { shard->ApplyView(view); });
  }
  return DropVanishedTables(*view);
}

absl::Status ShardHost::MakeShards(const ClusterView& view,
                                   const ReplicaId& self) {
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<Shard*> pointers;
  for (ShardId id = 0; id < view.shards.size(); ++id) {
    Shard::Options options;
    options.id = id;
    options.shard_count = static_cast<uint32_t>(view.shards.size());
    options.self = self;
    options.clock = &clock_;
    options.counters = &counters_;
    options.parked = &parked_;
    options.rounds = &round_board_;
    ports_.push_back(std::make_unique<ReplicaPort>(world_, id));
    options.port = ports_.back().get();
    shards.push_back(std::make_unique<Shard>(options));
    pointers.push_back(shards.back().get());
  }
  PARAMO_RETURN_IF_ERROR(MakeStoppedAnew(view, self));
  PARAMO_RETURN_IF_ERROR(LoadAll(shards));
  io_->Start(pointers);
  log_->Start(std::move(pointers));
  if (!anew_.empty()) PARAMO_RETURN_IF_ERROR(log_->Sync());
  for (const ShardId shard : anew_) {
    PARAMO_RETURN_IF_ERROR(ReplicaIo::ForgetStopped(meta_, shard));
  }
  MutexLock lock(mu_);
  shards_ = std::move(shards);
  return absl::OkStatus();
}

// ---- Loading ----------------------------------------------------------------

// Replicas that stopped in an earlier run, where others have taken their place.
absl::Status ShardHost::MakeStoppedAnew(const ClusterView& view,
                                        const ReplicaId& self) {
  std::vector<TableId> tables;
  for (const auto& [id, config] : view.tables) tables.push_back(id);
  for (ShardId shard = 0; shard < view.shards.size(); ++shard) {
    PARAMO_ASSIGN_OR_RETURN(const bool stopped,
                            ReplicaIo::HasStopped(meta_, shard));
    const ShardConfig& config = view.shards[shard].config;
    const bool needed =
        config.in_sync.empty() ||
        std::any_of(
            config.in_sync.begin(), config.in_sync.end(),
            [&](const ReplicaId& id) { return id.server == self.server; });
    if (!stopped || needed) continue;
    LogInfo("shard %d had stopped on this server; it begins empty", shard);
    PARAMO_RETURN_IF_ERROR(rows_.DropShard(shard, tables));
    const MarkRecord mark = MakeMark(RecordKind::kRestart, shard, config.epoch,
                                     config.history, /*lsn=*/0, /*crc=*/0);
    PARAMO_RETURN_IF_ERROR(
        log_->log().Append(mark.header, {mark.piece()}, Durability::kSynced));
    anew_.insert(shard);
  }
  return absl::OkStatus();
}

// All shards, several at a time: rows from the store, then the log behind them.
absl::Status ShardHost::LoadAll(
    const std::vector<std::unique_ptr<Shard>>& shards) {
  const absl::Duration begin = clock_.Now();
  std::unique_ptr<LogRecovery> recovery = log_->TakeRecovery();
  std::atomic<size_t> next{0};  // relaxed: a ticket, it orders nothing
  std::vector<absl::Status> failures(shards.size());
  auto load = [&] {
    for (;;) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= shards.size()) return;
      failures[i] = Load(*shards[i], *recovery);
    }
  };
  std::vector<std::thread> loaders;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency());
       ++i) {
    loaders.emplace_back(load);
  }
  for (std::thread& loader : loaders) loader.join();
  for (absl::Status& failure : failures) {
    PARAMO_RETURN_IF_ERROR(std::move(failure));
  }
  if (recovery->records() > 0) {
    LogInfo("read the log: %d records, %d bytes, in %s", recovery->records(),
            recovery->bytes(), absl::FormatDuration(clock_.Now() - begin));
  }
  return absl::OkStatus();
}

absl::Status ShardHost::Load(Shard& shard, const LogRecovery& recovery) const {
  const bool anew = anew_.contains(shard.id());
  const absl::Status damage =
      anew ? absl::OkStatus() : recovery.DamageOf(shard.id());
  PARAMO_ASSIGN_OR_RETURN(std::optional<v1::ShardState> state,
                          StoredState(shard.id()));
  Shard::Stored stored;
  stored.log_damaged = !damage.ok();
  if (state.has_value()) {
    // A log that ends below what is stored cannot be appended to either.
    const Lsn end = recovery.Shard(shard.id()).last_lsn;
    stored.log_damaged |= !anew && end < state->lsn();
    stored.state = &*state;
    PARAMO_ASSIGN_OR_RETURN(stored.tables,
                            LoadTables(*state, shard.shard_count()));
  }
  PARAMO_ASSIGN_OR_RETURN(stored.promise,
                          ReplicaIo::LoadPromise(meta_, shard.id()));
  // Copied: the recovery's memory goes when all shards are loaded.
  const LogShardRecords& records = recovery.Shard(shard.id());
  for (size_t i = 0; !anew && i < records.size(); ++i) {
    const LogRecord record = records[i];
    if (state.has_value() && record.header.lsn <= state->lsn()) continue;
    stored.log.push_back(
        {record.header,
         Rope::FromString(
             std::string(reinterpret_cast<const char*>(record.payload.data()),
                         record.payload.size()))});
  }
  absl::Status loaded;
  RunOn(shard, [&] { loaded = shard.Restore(std::move(stored)); });
  if (!damage.ok()) {
    LogError(
        "%s; it goes on from what could be read and takes the rest from "
        "its primary, if there is one",
        ToString(damage));
  }
  return Annotate(loaded, absl::StrCat("loading shard ", shard.id()));
}

absl::StatusOr<std::optional<v1::ShardState>> ShardHost::StoredState(
    ShardId shard) const {
  PARAMO_ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                          rows_.LoadState(shard));
  if (!bytes.has_value()) return std::nullopt;  // never flushed here
  v1::ShardState state;
  if (!state.ParseFromString(*bytes)) {
    return absl::DataLossError(
        absl::StrCat("state of shard ", shard, " cannot be read"));
  }
  return state;
}

absl::StatusOr<std::vector<std::unique_ptr<TableShard>>> ShardHost::LoadTables(
    const v1::ShardState& state, uint32_t shard_count) const {
  std::vector<std::unique_ptr<TableShard>> tables;
  for (const v1::Table& table : state.tables()) {
    PARAMO_ASSIGN_OR_RETURN(auto config, MakeTableConfig(table));
    auto shard = std::make_unique<TableShard>(*config, state.shard());
    absl::Status scanned = rows_.ScanShard(
        table.id(), state.shard(), [&](absl::string_view record) {
          PARAMO_RETURN_IF_ERROR(shard->Restore(absl::MakeConstSpan(
              reinterpret_cast<const uint8_t*>(record.data()), record.size())));
          if (config->memory_budget > 0) {
            shard->Evict(BudgetOf(*config, shard_count), 1);
          }
          return absl::OkStatus();
        });
    if (!scanned.ok()) {
      return Annotate(scanned, absl::StrCat("loading table ", config->name,
                                            ", shard ", state.shard()));
    }
    tables.push_back(std::move(shard));
  }
  return tables;
}

absl::StatusOr<absl::flat_hash_map<ShardId, Lsn>> ShardHost::StoredLsns()
    const {
  absl::flat_hash_map<ShardId, Lsn> lsns;
  PARAMO_ASSIGN_OR_RETURN(v1::ClusterState last, LastClusterState(meta_));
  for (ShardId shard = 0; shard < last.shard_count(); ++shard) {
    PARAMO_ASSIGN_OR_RETURN(std::optional<v1::ShardState> state,
                            StoredState(shard));
    if (state.has_value()) lsns[shard] = state->lsn();
  }
  return lsns;
}

absl::StatusOr<std::vector<ShardId>> ShardHost::Damaged(
    const LogRecovery& recovery) const {
  PARAMO_ASSIGN_OR_RETURN(v1::ClusterState last, LastClusterState(meta_));
  std::vector<ShardId> damaged;
  for (ShardId shard = 0; shard < last.shard_count(); ++shard) {
    PARAMO_ASSIGN_OR_RETURN(const bool stopped,
                            ReplicaIo::HasStopped(meta_, shard));
    if (stopped || !recovery.DamageOf(shard).ok()) damaged.push_back(shard);
  }
  return damaged;
}

bool ShardHost::LogHoldsEverything() const {
  absl::StatusOr<v1::ClusterState> last = LastClusterState(meta_);
  if (!last.ok()) return false;
  for (const v1::Table& table : last->tables()) {
    if (table.spec().durability() == v1::DURABILITY_REPLICATED) return false;
  }
  return true;
}

// Tables that were there in the last state seen and are no more: their rows
// go, also when the drop happened while this server was down.
absl::Status ShardHost::DropVanishedTables(const ClusterView& view) {
  PARAMO_ASSIGN_OR_RETURN(std::optional<std::string> last,
                          meta_.Get(kLastStateKey));
  v1::ClusterState before;
  if (last.has_value() && before.ParseFromString(*last)) {
    for (const v1::Table& table : before.tables()) {
      if (view.tables.contains(table.id())) continue;
      LogInfo("table %s was dropped; removing its rows",
              Printable(table.spec().name()));
      PARAMO_RETURN_IF_ERROR(rows_.DropTable(table.id()));
    }
  }
  std::string now = view.state->SerializeAsString();
  if (last.has_value() && *last == now) return absl::OkStatus();
  return meta_.Put(kLastStateKey, now);
}

void ShardHost::ForEachShard(const std::function<void(Shard&)>& read) const {
  for (Shard* shard : shards()) RunOn(*shard, [&] { read(*shard); });
}

uint64_t ShardHost::VersionInForce() const {
  uint64_t version = ~uint64_t{0};
  const std::vector<Shard*> all = shards();
  for (const Shard* shard : all) {
    version = std::min(version, shard->version_in_force());
  }
  return all.empty() ? 0 : version;
}

void ShardHost::StopServing() {
  ForEachShard([](Shard& shard) { shard.StopServing(); });
}

void ShardHost::Tick() {
  for (;;) {
    {
      MutexLock lock(mu_);
      if (!stopping_) wake_.WaitFor(mu_, kTickPeriod);
      if (stopping_) return;
    }
    const bool waiting = counters_.parked_pulls.Value() != 0 ||
                         counters_.held_pushes.Value() != 0 ||
                         counters_.waiting_for_rows.Value() != 0 ||
                         counters_.waiting_for_commit.Value() != 0 ||
                         counters_.round_deadlines.Value() != 0;
    const uint64_t version = VersionInForce();
    if (version != told_version_ && on_in_force_) on_in_force_();
    told_version_ = version;
    for (Shard* shard : shards()) {
      shard->Post([shard, waiting] {
        shard->WithReplica(
            [](Replica& replica, absl::Duration now) { replica.Tick(now); });
        if (waiting) shard->ExpireNow();
      });
    }
  }
}

}  // namespace paramo
