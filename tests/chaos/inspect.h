// Makes the tables of a run, and reads back what the cluster has in the end.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/oracle.h"
#include "tests/chaos/scalar_rule.h"

namespace paramo::chaos {

// Where keys go.
struct Layout {
  TableId own = 0;
  TableId counter = 0;
  TableId pairs = 0;
  uint32_t shards = 0;

  std::array<ShardId, 4> ShardsOfPush(uint32_t client, uint64_t number) const;
};

// Errors: UNAVAILABLE  and what else creating a table can say
absl::StatusOr<Layout> MakeTables(const std::string& addresses,
                                  const std::string& durability,
                                  const ScalarRule& rule);

// Every row there is.
struct Contents {
  absl::flat_hash_map<Key, float> own, counter, pairs;
};
absl::StatusOr<Contents> ReadContents(const std::string& addresses);

// The rows of a client that made so many attempts; absent ones are 0.
ClientRows RowsOf(const Contents& contents, const Layout& layout,
                  uint32_t client, uint64_t attempts);

// Rows that no attempt of any ledger goes to.
uint64_t CountStrangers(const Contents& contents, const Layout& layout,
                        const std::map<uint32_t, const History*>& histories);

}  // namespace paramo::chaos
