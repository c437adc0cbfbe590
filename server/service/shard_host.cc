#include "server/service/shard_host.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/service/in_parallel.h"
#include "server/service/run_on.h"

namespace paramo {
namespace {

// How often replicas get the time, and how late a parked request may learn that
// its deadline has passed.
constexpr absl::Duration kTickPeriod = absl::Milliseconds(10);

}  // namespace

ShardHost::ShardHost(RowStore& rows, std::vector<StoredShard> stored,
                     MetaStore& meta, const Clock& clock,
                     ShardCounters& counters, std::function<void()> on_in_force)
    : rows_(rows),
      stored_(std::move(stored)),
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
  PARAMO_RETURN_IF_ERROR(FindVoid(view, self));
  PARAMO_RETURN_IF_ERROR(LoadAll(shards));
  log_->Start(pointers);
  PARAMO_RETURN_IF_ERROR(MakeAnew(view));
  io_->Start(std::move(pointers));
  MutexLock lock(mu_);
  shards_ = std::move(shards);
  return absl::OkStatus();
}

// ---- Loading ----------------------------------------------------------------

// Replicas that stopped in an earlier run, or whose rows are lost: where others
// have everything they are made anew.
absl::Status ShardHost::FindVoid(const ClusterView& view,
                                 const ReplicaId& self) {
  const auto is_here = [&](const ReplicaId& id) {
    return id.server == self.server;
  };
  for (ShardId shard = 0; shard < view.shards.size(); ++shard) {
    PARAMO_ASSIGN_OR_RETURN(const ReplicaIo::Ending ending,
                            ReplicaIo::HowEnded(meta_, shard));
    if (ending == ReplicaIo::Ending::kNone) continue;
    const std::vector<ReplicaId>& in_sync = view.shards[shard].config.in_sync;
    const bool here = std::any_of(in_sync.begin(), in_sync.end(), is_here);
    const bool elsewhere =
        !std::all_of(in_sync.begin(), in_sync.end(), is_here);
    const bool lost = ending == ReplicaIo::Ending::kRowsLost;
    if (elsewhere && (lost || !here)) {
      LogInfo("shard %d %s on this server; it begins empty", shard,
              lost ? "was lost" : "had stopped");
      anew_.insert(shard);
    } else if (lost) {
      LogError(
          "shard %d is not served: its rows here are lost, and no other "
          "replica is in sync. Stop this server and put its data directory "
          "back from a copy, or start the server of a backup that lagged; when "
          "neither is left, `paramo shard unsafe-promote %d --empty` begins it "
          "without any data",
          shard, shard);
      lost_.insert(shard);
    }
  }
  return absl::OkStatus();
}

absl::Status ShardHost::MakeAnew(const ClusterView& view) {
  std::vector<TableId> tables;
  for (const auto& [id, config] : view.tables) tables.push_back(id);
  for (const ShardId shard : anew_) {
    PARAMO_RETURN_IF_ERROR(io_->WipeNow(shard, tables));
  }
  return absl::OkStatus();
}

// All shards, several at a time: what the store had, then the log behind it.
absl::Status ShardHost::LoadAll(
    const std::vector<std::unique_ptr<Shard>>& shards) {
  const absl::Duration begin = clock_.Now();
  stored_.resize(shards.size());
  std::unique_ptr<LogRecovery> recovery = log_->TakeRecovery();
  for (absl::Status& outcome : InParallel(shards.size(), [&](size_t i) {
         return Load(*shards[i], std::move(stored_[i]), *recovery);
       })) {
    PARAMO_RETURN_IF_ERROR(std::move(outcome));
  }
  stored_.clear();
  if (recovery->records() > 0) {
    LogInfo("read the log: %d records, %d bytes, in %s", recovery->records(),
            recovery->bytes(), absl::FormatDuration(clock_.Now() - begin));
  }
  return absl::OkStatus();
}

absl::Status ShardHost::Load(Shard& shard, StoredShard read,
                             const LogRecovery& recovery) const {
  const bool anew = anew_.contains(shard.id());
  const bool lost = lost_.contains(shard.id());
  if (anew || lost) read = {};
  const absl::Status damage =
      anew || lost ? absl::OkStatus() : recovery.DamageOf(shard.id());
  const LogShardRecords& records = recovery.Shard(shard.id());
  Shard::Stored stored;
  stored.rows_lost = lost;
  stored.log_damaged = lost || !damage.ok();
  stored.state = read.state.get();
  stored.tables = std::move(read.tables);
  // A log that ends below what is stored cannot be appended to either.
  if (read.state && records.last_lsn < read.state->lsn()) {
    stored.log_damaged = true;
  }
  PARAMO_ASSIGN_OR_RETURN(stored.promise,
                          ReplicaIo::LoadPromise(meta_, shard.id()));
  // Copied: the recovery's memory goes when all shards are loaded.
  for (size_t i = 0; !anew && !lost && i < records.size(); ++i) {
    const LogRecord record = records[i];
    if (read.state && record.header.lsn <= read.state->lsn()) continue;
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

absl::flat_hash_map<ShardId, Lsn> ShardHost::StoredLsns() const {
  absl::flat_hash_map<ShardId, Lsn> lsns;
  for (ShardId shard = 0; shard < stored_.size(); ++shard) {
    if (stored_[shard].state) lsns[shard] = stored_[shard].state->lsn();
  }
  return lsns;
}

absl::StatusOr<std::vector<ShardId>> ShardHost::Damaged(
    const LogRecovery& recovery) const {
  PARAMO_ASSIGN_OR_RETURN(v1::ClusterState last, LastClusterState(meta_));
  std::vector<ShardId> damaged;
  for (ShardId shard = 0; shard < last.shard_count(); ++shard) {
    PARAMO_ASSIGN_OR_RETURN(const ReplicaIo::Ending ending,
                            ReplicaIo::HowEnded(meta_, shard));
    if (ending != ReplicaIo::Ending::kNone || !recovery.DamageOf(shard).ok()) {
      damaged.push_back(shard);
    }
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
