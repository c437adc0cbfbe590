#include "server/store/row_fetch.h"

#include "absl/strings/str_cat.h"

namespace paramo {
namespace {

void FetchTable(const RowStore& store, ShardId shard, TableId table,
                const std::vector<Key>& keys, FetchedRows& out) {
  std::vector<bool> found(keys.size());
  absl::Status status = store.MultiGet(table, shard, keys,
                                       [&](size_t i, absl::string_view record) {
                                         found[i] = true;
                                         out.rows.AddRow(table, record);
                                       });
  for (size_t i = 0; i < keys.size(); ++i) {
    if (found[i]) continue;
    // One bad block fails all that was asked; each row is asked for again, so
    // that only those in it are lost.
    absl::Status alone = status;
    if (!status.ok()) {
      alone = store.MultiGet(table, shard, {&keys[i], 1},
                             [&](size_t, absl::string_view record) {
                               found[i] = true;
                               out.rows.AddRow(table, record);
                             });
    }
    if (alone.ok() && !found[i]) {
      alone = absl::DataLossError(
          absl::StrCat("row ", keys[i], " of table ", table, ", shard ", shard,
                       " was evicted to the store and is not there any more"));
    }
    if (!alone.ok()) out.failed[{table, keys[i]}] = alone;
  }
}

}  // namespace

FetchedRows FetchRows(const RowStore& store, ShardId shard,
                      const RowKeys& keys) {
  FetchedRows out;
  out.rows.shard = shard;
  for (const auto& [table, wanted] : keys) {
    FetchTable(store, shard, table, wanted, out);
  }
  return out;
}

}  // namespace paramo
