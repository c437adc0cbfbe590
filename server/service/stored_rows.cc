#include "server/service/stored_rows.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/service/in_parallel.h"
#include "server/service/replica_io.h"
#include "server/store/replace_rows.h"

namespace paramo {
namespace {

// What was read, and of each shard whether all of it could be.
struct Reading {
  std::vector<StoredShard> shards;
  std::vector<absl::Status> outcomes;
};

absl::StatusOr<std::vector<std::unique_ptr<TableShard>>> ReadTables(
    const RowStore& rows, const v1::ShardState& state, ShardId id,
    uint32_t shard_count) {
  std::vector<std::unique_ptr<TableShard>> tables;
  for (const v1::Table& table : state.tables()) {
    PARAMO_ASSIGN_OR_RETURN(auto config, MakeTableConfig(table));
    auto shard = std::make_unique<TableShard>(*config, id);
    absl::Status scanned =
        rows.ScanShard(table.id(), id, [&](absl::string_view record) {
          PARAMO_RETURN_IF_ERROR(shard->Restore(absl::MakeConstSpan(
              reinterpret_cast<const uint8_t*>(record.data()), record.size())));
          if (config->memory_budget > 0) {
            shard->Evict(BudgetOf(*config, shard_count), 1);
          }
          return absl::OkStatus();
        });
    PARAMO_RETURN_IF_ERROR(
        Annotate(scanned, absl::StrCat("loading table ", config->name)));
    tables.push_back(std::move(shard));
  }
  return tables;
}

absl::StatusOr<StoredShard> ReadShard(const RowStore& rows, ShardId id,
                                      uint32_t shard_count) {
  PARAMO_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          rows.LoadState(id));
  StoredShard stored;
  if (!bytes.has_value()) return stored;  // never flushed here
  auto state = std::make_shared<v1::ShardState>();
  if (!state->ParseFromString(*bytes)) {
    return absl::DataLossError("its state cannot be read");
  }
  PARAMO_ASSIGN_OR_RETURN(stored.tables,
                          ReadTables(rows, *state, id, shard_count));
  stored.state = std::move(state);
  return stored;
}

Reading ReadAll(const RowStore& rows, uint32_t count) {
  Reading reading;
  reading.shards.resize(count);
  reading.outcomes = InParallel(count, [&](size_t i) {
    absl::StatusOr<StoredShard> read =
        ReadShard(rows, static_cast<ShardId>(i), count);
    if (read.ok()) reading.shards[i] = *std::move(read);
    return Annotate(read.status(), absl::StrCat("loading shard ", i));
  });
  return reading;
}

// Rows first: a state says that all of its rows are there.
absl::Status CopyShard(const RowStore& from, ShardId id,
                       const v1::ShardState& state, RowStore& to) {
  FlushBatch batch(1);
  batch[0].shard = id;
  for (const v1::Table& table : state.tables()) {
    PARAMO_RETURN_IF_ERROR(
        from.ScanShard(table.id(), id, [&](absl::string_view record) {
          batch[0].AddRow(table.id(), record);
          if (batch[0].arena.size() < kFlushShardBytesMax) {
            return absl::OkStatus();
          }
          const absl::Status stored = to.Ingest(batch);
          batch[0].rows.clear();
          batch[0].arena.clear();
          return stored;
        }));
  }
  batch[0].state = state.SerializeAsString();
  batch[0].state_lsn = state.lsn();
  return to.Ingest(batch);
}

// Another store with all that `shards` has, in the place of `damaged` (null: it
// cannot even be opened). Returns where the damaged one is now.
absl::StatusOr<std::string> Replace(const std::string& data_dir,
                                    std::unique_ptr<RowStore> damaged,
                                    const std::vector<StoredShard>& shards) {
  PARAMO_ASSIGN_OR_RETURN(const std::string dir, PrepareNewRows(data_dir));
  PARAMO_ASSIGN_OR_RETURN(auto made, RowStore::Open(dir, {}));
  for (ShardId id = 0; id < shards.size(); ++id) {
    const v1::ShardState* state = shards[id].state.get();
    if (state == nullptr) continue;
    PARAMO_RETURN_IF_ERROR(
        Annotate(CopyShard(*damaged, id, *state, *made),
                 absl::StrCat("copying shard ", id, " into ", dir)));
  }
  made.reset();
  damaged.reset();
  return ReplaceRows(data_dir);
}

}  // namespace

absl::StatusOr<v1::ClusterState> LastClusterState(const MetaStore& meta) {
  PARAMO_ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                          meta.Get(kLastStateKey));
  v1::ClusterState state;
  if (bytes.has_value() && !state.ParseFromString(*bytes)) {
    return absl::DataLossError("the last cluster state cannot be read");
  }
  return state;
}

absl::StatusOr<StoredRows> OpenStoredRows(const std::string& data_dir,
                                          const RowStoreOptions& options,
                                          MetaStore& meta) {
  PARAMO_RETURN_IF_ERROR(FinishReplacingRows(data_dir));
  PARAMO_ASSIGN_OR_RETURN(const v1::ClusterState last, LastClusterState(meta));
  absl::StatusOr<std::unique_ptr<RowStore>> opened =
      RowStore::Open(data_dir, options);
  if (!opened.ok() && !absl::IsDataLoss(opened.status())) {
    return opened.status();
  }
  Reading reading;
  if (opened.ok()) {
    reading = ReadAll(**opened, last.shard_count());
  } else {
    reading.shards.resize(last.shard_count());
    reading.outcomes.assign(last.shard_count(), opened.status());
    LogError("%s", ToString(opened.status()));
  }
  std::vector<ShardId> lost;
  for (ShardId id = 0; id < reading.outcomes.size(); ++id) {
    const absl::Status& outcome = reading.outcomes[id];
    if (outcome.ok()) continue;
    if (!absl::IsDataLoss(outcome)) return outcome;
    if (opened.ok()) LogError("%s", ToString(outcome));
    lost.push_back(id);
  }
  if (opened.ok() && lost.empty()) {
    return StoredRows{*std::move(opened), std::move(reading.shards)};
  }

  // Noted before the damage is out of sight.
  PARAMO_RETURN_IF_ERROR(ReplicaIo::NoteRowsLost(meta, lost));
  PARAMO_ASSIGN_OR_RETURN(
      const std::string aside,
      Replace(data_dir, opened.ok() ? *std::move(opened) : nullptr,
              reading.shards));
  LogError(
      "the store is damaged: of %d of %d shards nothing can be used (%s). The "
      "damaged files are kept in %s; delete them when nobody needs them",
      lost.size(), last.shard_count(), absl::StrJoin(lost, ", "), aside);
  PARAMO_ASSIGN_OR_RETURN(auto store, RowStore::Open(data_dir, options));
  return StoredRows{std::move(store), std::move(reading.shards)};
}

}  // namespace paramo
