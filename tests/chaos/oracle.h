// Holds what the cluster has against what clients were told.
//
// With rule sgd, lr 1 and gradients of -1, every row counts the pushes that
// were applied to it, exactly (f32 counts to 2^24). A push touches four rows:
// one of its own, its client's counter, and the two sides of a pair, which lie
// on different shards. Each kind of row bounds what happened:
//
//   own      acked: 1; failed: 0; unknown: 0 or 1
//   others   from the number of acked to that of acked and unknown
//
// Each bound sees only its shard, so the worst of the kinds is what counts: at
// least so many pushes of the client lost a part, or had one applied twice.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "common/base/ids.h"
#include "tests/chaos/ledger.h"

namespace paramo::chaos {

// Pairs that the pushes of one client go around: attempt n adds to n modulo it.
inline constexpr uint32_t kPairs = 8;

// Rows of the three tables that belong to one client.
//   own [attempts]; pairs [side][kPairs]
struct ClientRows {
  std::vector<float> own;
  float counter = 0;
  std::array<std::array<float, kPairs>, 2> pairs = {};
};

// Counts of pushes. found = acked - lost.
struct Verdict {
  uint64_t attempted = 0;
  uint64_t acked = 0;
  uint64_t failed = 0;
  uint64_t unknown = 0;
  uint64_t found = 0;
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t recovered = 0;   // unknown, and there
  uint64_t unexpected = 0;  // failed, and there; or no whole number

  Verdict& operator+=(const Verdict& other);
  bool clean() const { return lost == 0 && duplicated == 0 && unexpected == 0; }
};

// The verdict on one client. Threads: any; a pure function.
Verdict Judge(const History& history, const ClientRows& rows);

// ---- Keys -------------------------------------------------------------------

// Clients are 1, 2, ...; a process that takes a dead one's place is a new one.
inline Key OwnKey(uint32_t client, uint64_t number) {
  return (uint64_t{client} << 32) | number;
}
inline Key CounterKey(uint32_t client) { return client; }

// The two sides of pair `pair`, on different shards of `table` if there are
// two.
std::pair<Key, Key> PairKeys(TableId table, uint32_t shard_count,
                             uint32_t client, uint32_t pair);

}  // namespace paramo::chaos
