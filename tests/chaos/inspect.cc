#include "tests/chaos/inspect.h"

#include <memory>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/cli/table_rows.h"
#include "common/base/status.h"
#include "common/routing/routing.h"
#include "paramo/cluster.h"
#include "tests/chaos/client_load.h"

namespace paramo::chaos {
namespace {

constexpr absl::Duration kReadWithin = absl::Seconds(30);

absl::StatusOr<absl::flat_hash_map<Key, float>> ReadRows(
    const std::string& addresses, const char* table) {
  PARAMO_ASSIGN_OR_RETURN(
      const cli::TableRows rows,
      cli::ReadTable(absl::StrSplit(addresses, ','), table, kReadWithin));
  absl::flat_hash_map<Key, float> values;
  for (size_t i = 0; i < rows.keys.size(); ++i) {
    values[rows.keys[i]] = rows.values[i];
  }
  return values;
}

float At(const absl::flat_hash_map<Key, float>& rows, Key key) {
  auto found = rows.find(key);
  return found == rows.end() ? 0 : found->second;
}

uint64_t CountOutside(const absl::flat_hash_map<Key, float>& rows,
                      const absl::flat_hash_set<Key>& known) {
  uint64_t count = 0;
  for (const auto& [key, value] : rows) count += known.contains(key) ? 0 : 1;
  return count;
}

}  // namespace

std::array<ShardId, 4> Layout::ShardsOfPush(uint32_t client,
                                            uint64_t number) const {
  const auto [a, b] =
      PairKeys(pairs, shards, client, static_cast<uint32_t>(number % kPairs));
  return {ShardOf(own, OwnKey(client, number), shards),
          ShardOf(counter, CounterKey(client), shards),
          ShardOf(pairs, a, shards), ShardOf(pairs, b, shards)};
}

absl::StatusOr<Layout> MakeTables(const std::string& addresses,
                                  const std::string& durability,
                                  const ScalarRule& rule) {
  ConnectOptions options;
  options.addresses = addresses;
  auto cluster = Cluster::Connect(options);
  PARAMO_RETURN_IF_ERROR(cli::FromClient(cluster.status()));
  Layout layout;
  layout.shards = (*cluster)->shard_count();
  for (auto [name, id] : {std::pair(kOwnTable, &layout.own),
                          std::pair(kCounterTable, &layout.counter),
                          std::pair(kPairTable, &layout.pairs)}) {
    auto table = (*cluster)->CreateTable(ChaosTable(name, durability, rule));
    PARAMO_RETURN_IF_ERROR(cli::FromClient(table.status()));
    *id = table->info().id;
  }
  return layout;
}

absl::StatusOr<Contents> ReadContents(const std::string& addresses) {
  Contents contents;
  PARAMO_ASSIGN_OR_RETURN(contents.own, ReadRows(addresses, kOwnTable));
  PARAMO_ASSIGN_OR_RETURN(contents.counter, ReadRows(addresses, kCounterTable));
  PARAMO_ASSIGN_OR_RETURN(contents.pairs, ReadRows(addresses, kPairTable));
  return contents;
}

ClientRows RowsOf(const Contents& contents, const Layout& layout,
                  uint32_t client, uint64_t attempts) {
  ClientRows rows;
  rows.own.reserve(attempts);
  for (uint64_t n = 0; n < attempts; ++n) {
    rows.own.push_back(At(contents.own, OwnKey(client, n)));
  }
  rows.counter = At(contents.counter, CounterKey(client));
  for (uint32_t pair = 0; pair < kPairs; ++pair) {
    const auto [a, b] = PairKeys(layout.pairs, layout.shards, client, pair);
    rows.pairs[0][pair] = At(contents.pairs, a);
    rows.pairs[1][pair] = At(contents.pairs, b);
  }
  return rows;
}

uint64_t CountStrangers(const Contents& contents, const Layout& layout,
                        const std::map<uint32_t, const History*>& histories) {
  absl::flat_hash_set<Key> own, counter, pairs;
  for (const auto& [client, history] : histories) {
    for (uint64_t n = 0; n < history->size(); ++n)
      own.insert(OwnKey(client, n));
    counter.insert(CounterKey(client));
    for (uint32_t pair = 0; pair < kPairs; ++pair) {
      const auto [a, b] = PairKeys(layout.pairs, layout.shards, client, pair);
      pairs.insert(a);
      pairs.insert(b);
    }
  }
  return CountOutside(contents.own, own) +
         CountOutside(contents.counter, counter) +
         CountOutside(contents.pairs, pairs);
}

}  // namespace paramo::chaos
