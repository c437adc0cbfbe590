#include "server/service/shard_host.h"

#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/shard_state.pb.h"

namespace paramo {
namespace {

// How late a parked request may learn that its deadline has passed.
constexpr absl::Duration kDeadlineGrain = absl::Milliseconds(20);

constexpr char kLastStateKey[] = "cluster_state";

// Runs `work` on the shard's strand and waits for it. Never call this on a
// strand.
template <typename F>
void RunOn(Shard& shard, F work) {
  std::promise<void> finished;
  shard.Post([&] {
    work();
    finished.set_value();
  });
  finished.get_future().wait();
}

}  // namespace

ShardHost::ShardHost(RowStore& rows, MetaStore& meta, const Clock& clock,
                     ShardCounters& counters)
    : rows_(rows), meta_(meta), clock_(clock), counters_(counters) {
  deadlines_ = std::thread([this] { KeepDeadlines(); });
}

ShardHost::~ShardHost() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  deadlines_.join();
}

std::vector<Shard*> ShardHost::shards() const {
  MutexLock lock(mu_);
  std::vector<Shard*> shards;
  for (const auto& shard : shards_) shards.push_back(shard.get());
  return shards;
}

absl::Status ShardHost::Apply(const ClusterView& view, uint32_t server_id) {
  if (shards().empty()) {
    PARAMO_RETURN_IF_ERROR(MakeShards(view, server_id));
  }
  if (view.shards.size() != shards().size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the cluster state has ", view.shards.size(),
                     " shards, this server ", shards().size(),
                     ": their number never changes; is this another "
                     "cluster?"));
  }
  for (Shard* shard : shards()) {
    RunOn(*shard, [&] { shard->ApplyView(view); });
  }
  return DropVanishedTables(view);
}

absl::Status ShardHost::MakeShards(const ClusterView& view,
                                   uint32_t server_id) {
  std::vector<std::unique_ptr<Shard>> shards;
  for (ShardId id = 0; id < view.shards.size(); ++id) {
    Shard::Options options;
    options.id = id;
    options.shard_count = static_cast<uint32_t>(view.shards.size());
    options.server_id = server_id;
    options.clock = &clock_;
    options.counters = &counters_;
    options.parked = &parked_;
    options.rounds = &round_board_;
    shards.push_back(std::make_unique<Shard>(options));
    PARAMO_RETURN_IF_ERROR(Load(*shards.back(), view));
  }
  MutexLock lock(mu_);
  shards_ = std::move(shards);
  return absl::OkStatus();
}

// Reads what the store has of a shard: rows of every table, then the state.
absl::Status ShardHost::Load(Shard& shard, const ClusterView& view) {
  PARAMO_ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                          rows_.LoadState(shard.id()));
  if (!bytes.has_value()) return absl::OkStatus();  // never flushed here
  v1::ShardState state;
  if (!state.ParseFromString(*bytes)) {
    return absl::DataLossError(
        absl::StrCat("state of shard ", shard.id(), " cannot be read"));
  }
  std::vector<std::unique_ptr<TableShard>> tables;
  for (const auto& [id, config] : view.tables) {
    auto table = std::make_unique<TableShard>(*config, shard.id());
    absl::Status scanned =
        rows_.ScanShard(id, shard.id(), [&](absl::string_view record) {
          return table->Restore(absl::MakeConstSpan(
              reinterpret_cast<const uint8_t*>(record.data()), record.size()));
        });
    if (!scanned.ok()) {
      return Annotate(scanned, absl::StrCat("loading table ", config->name,
                                            ", shard ", shard.id()));
    }
    tables.push_back(std::move(table));
  }
  absl::Status restored;
  RunOn(shard, [&] { restored = shard.Restore(&state, std::move(tables)); });
  return restored;
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

void ShardHost::StopServing() {
  ForEachShard([](Shard& shard) { shard.StopServing(); });
}

void ShardHost::KeepDeadlines() {
  for (;;) {
    {
      MutexLock lock(mu_);
      if (!stopping_) wake_.WaitFor(mu_, kDeadlineGrain);
      if (stopping_) return;
    }
    bool waiting = counters_.parked_pulls.Value() != 0 ||
                   counters_.held_pushes.Value() != 0 ||
                   counters_.round_deadlines.Value() != 0;
    if (!waiting) continue;
    absl::Duration now = clock_.Now();
    for (Shard* shard : shards()) {
      shard->Post([shard, now] { shard->Expire(now); });
    }
  }
}

}  // namespace paramo
