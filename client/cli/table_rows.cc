#include "client/cli/table_rows.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "paramo/cluster.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {

absl::Status FromClient(const Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.code()),
                      status.ToString());
}

absl::StatusOr<std::vector<uint64_t>> ListKeys(client::Control& control,
                                               uint32_t table,
                                               absl::Duration timeout) {
  PARAMO_ASSIGN_OR_RETURN(auto state, control.State(timeout));
  std::map<uint32_t, std::string> addresses;
  for (const v1::Server& server : state->servers()) {
    addresses[server.id()] = server.address();
  }
  std::vector<uint64_t> keys;
  for (const v1::Shard& shard : state->shards()) {
    uint64_t from = 0;
    for (bool more = true; more;) {
      PARAMO_ASSIGN_OR_RETURN(
          auto reply, control.ListKeys(addresses[shard.primary()], table,
                                       shard.id(), from, /*limit=*/0, timeout));
      const size_t count = reply->keys().size() / sizeof(uint64_t);
      const size_t old = keys.size();
      keys.resize(old + count);
      std::memcpy(keys.data() + old, reply->keys().data(),
                  count * sizeof(uint64_t));
      more = reply->more() && count > 0;
      from = more ? keys.back() + 1 : 0;
    }
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

absl::StatusOr<TableRows> ReadTable(const std::vector<std::string>& addresses,
                                    const std::string& table,
                                    absl::Duration timeout) {
  client::Control control(addresses);
  PARAMO_ASSIGN_OR_RETURN(auto described,
                          control.DescribeTable(table, timeout));
  if (described->spec().has_tensor()) {
    return absl::InvalidArgumentError(
        absl::StrCat(table,
                     " is a dense tensor, whose rows are pieces of one "
                     "array; name a sparse table"));
  }
  ConnectOptions options;
  options.addresses = absl::StrJoin(addresses, ",");
  options.timeout =
      std::chrono::milliseconds(absl::ToInt64Milliseconds(timeout));
  auto cluster = Cluster::Connect(options);
  PARAMO_RETURN_IF_ERROR(FromClient(cluster.status()));
  auto opened = (*cluster)->OpenTable(table);
  PARAMO_RETURN_IF_ERROR(FromClient(opened.status()));
  TableRows rows;
  rows.dim = opened->dim();
  PARAMO_ASSIGN_OR_RETURN(rows.keys,
                          ListKeys(control, described->id(), timeout));
  rows.values.resize(rows.keys.size() * rows.dim);
  const std::span<const uint64_t> keys(rows.keys);
  const std::span<float> values(rows.values);
  const size_t step = std::max<size_t>(1, kPullFloats / rows.dim);
  for (size_t at = 0; at < keys.size(); at += step) {
    const size_t count = std::min(step, keys.size() - at);
    PARAMO_RETURN_IF_ERROR(FromClient(opened->Pull(
        keys.subspan(at, count),
        values.subspan(at * rows.dim, count * rows.dim), {.codec = "f32"})));
  }
  return rows;
}

}  // namespace paramo::cli
