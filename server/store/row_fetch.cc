#include "server/store/row_fetch.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace paramo {
namespace {

absl::Status WhyNot(const RowId& row, const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  return absl::DataLossError(absl::StrCat(
      "row ", row.key, " of table ", row.table, ", shard ", row.shard,
      " was evicted to the store and is not there any more"));
}

}  // namespace

size_t RowsAsked::rows() const {
  size_t rows = 0;
  for (const auto& [table, wanted] : keys) rows += wanted.size();
  return rows;
}

std::vector<FetchedRows> FetchRows(const RowStore& store,
                                   absl::Span<const RowsAsked> asked) {
  std::vector<FetchedRows> fetched(asked.size());
  std::vector<RowId> rows;
  std::vector<FetchedRows*> out;  // of each row
  for (size_t i = 0; i < asked.size(); ++i) {
    fetched[i].rows.shard = asked[i].shard;
    for (const auto& [table, wanted] : asked[i].keys) {
      for (const Key key : wanted) {
        rows.push_back({table, asked[i].shard, key});
        out.push_back(&fetched[i]);
      }
    }
  }
  store.MultiGet(
      rows, [&](size_t i, const absl::StatusOr<absl::string_view>& record) {
        if (record.ok()) {
          out[i]->rows.AddRow(rows[i].table, *record);
        } else {
          out[i]->failed[{rows[i].table, rows[i].key}] =
              WhyNot(rows[i], record.status());
        }
      });
  return fetched;
}

}  // namespace paramo
