// The store of a server that starts, and what it has of every shard: read whole
// before the server tells anybody that it is there, because a copy that cannot
// be read is none.
//
// All shards share one store, and each of its files may have rows of all. Where
// files are damaged the shards that can be read whole are copied into another
// store, which takes the place of the damaged one; that is kept beside it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store/meta_store.h"
#include "server/store/row_store.h"
#include "server/table/table_shard.h"

namespace paramo {

namespace v1 {
class ClusterState;
class ShardState;
}  // namespace v1

struct StoredShard {
  std::shared_ptr<const v1::ShardState> state;      // null: nothing is stored
  std::vector<std::unique_ptr<TableShard>> tables;  // of the state
};

struct StoredRows {
  std::unique_ptr<RowStore> store;
  std::vector<StoredShard> shards;  // by id; as many as the last run had
};

inline constexpr char kLastStateKey[] = "cluster_state";
// As this server last saw it; empty for a new server.
absl::StatusOr<v1::ClusterState> LastClusterState(const MetaStore& meta);

// Shards that were lost are noted in `meta` (ReplicaIo::HowEnded).
// Errors: of RowStore::Open and of reading; DATA_LOSS only where other files
//         than those of the store are damaged
absl::StatusOr<StoredRows> OpenStoredRows(const std::string& data_dir,
                                          const RowStoreOptions& options,
                                          MetaStore& meta);

}  // namespace paramo
