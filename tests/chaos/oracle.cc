#include "tests/chaos/oracle.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "common/routing/routing.h"

namespace paramo::chaos {
namespace {

bool IsCount(float value) {
  return value >= 0 && value == std::floor(value) && value < 0x1p24f;
}

// How far a row that counts several pushes is outside its bounds.
struct Miss {
  uint64_t short_by = 0;
  uint64_t over_by = 0;
  uint64_t unexpected = 0;

  // Of two rows that the same pushes go to: neither can explain the other's.
  static Miss Worst(const Miss& a, const Miss& b) {
    return {std::max(a.short_by, b.short_by), std::max(a.over_by, b.over_by),
            std::max(a.unexpected, b.unexpected)};
  }
};

Miss Compare(float value, uint64_t low, uint64_t high) {
  if (!IsCount(value)) return {0, 0, 1};
  const uint64_t count = static_cast<uint64_t>(value);
  return {low > count ? low - count : 0, count > high ? count - high : 0, 0};
}

// The pushes' own rows.
Miss CompareOwn(const History& history, const std::vector<float>& own,
                uint64_t& recovered) {
  Miss miss;
  for (size_t n = 0; n < history.size(); ++n) {
    const bool acked = history[n].outcome == Outcome::kAcked;
    const bool failed = history[n].outcome == Outcome::kFailed;
    const Miss row = Compare(own[n], acked ? 1 : 0, 1);
    miss.short_by += row.short_by;
    miss.over_by += row.over_by;
    miss.unexpected += row.unexpected + (failed && own[n] == 1 ? 1 : 0);
    recovered += !acked && !failed && own[n] == 1 ? 1 : 0;
  }
  return miss;
}

// Pushes that a row must have, and those it may have. One that failed and is
// there by its own row is unexpected once, and not a duplicate besides.
struct Bounds {
  uint64_t low = 0;
  uint64_t high = 0;
  void Add(Outcome outcome, float own) {
    low += outcome == Outcome::kAcked ? 1 : 0;
    high += outcome != Outcome::kFailed || own > 0 ? 1 : 0;
  }
};

Miss ComparePairs(const History& history, const ClientRows& rows) {
  std::array<Bounds, kPairs> bounds;
  for (size_t n = 0; n < history.size(); ++n) {
    bounds[n % kPairs].Add(history[n].outcome, rows.own[n]);
  }
  Miss sum;
  for (uint32_t pair = 0; pair < kPairs; ++pair) {
    const auto [low, high] = std::pair(bounds[pair].low, bounds[pair].high);
    const Miss miss = Miss::Worst(Compare(rows.pairs[0][pair], low, high),
                                  Compare(rows.pairs[1][pair], low, high));
    sum.short_by += miss.short_by;
    sum.over_by += miss.over_by;
    sum.unexpected += miss.unexpected;
  }
  return sum;
}

}  // namespace

Verdict& Verdict::operator+=(const Verdict& other) {
  attempted += other.attempted;
  acked += other.acked;
  failed += other.failed;
  unknown += other.unknown;
  found += other.found;
  lost += other.lost;
  duplicated += other.duplicated;
  recovered += other.recovered;
  unexpected += other.unexpected;
  return *this;
}

Verdict Judge(const History& history, const ClientRows& rows) {
  PARAMO_CHECK(rows.own.size() == history.size());
  Verdict verdict;
  Bounds bounds;
  for (size_t n = 0; n < history.size(); ++n) {
    bounds.Add(history[n].outcome, rows.own[n]);
    verdict.failed += history[n].outcome == Outcome::kFailed ? 1 : 0;
  }
  verdict.attempted = history.size();
  verdict.acked = bounds.low;
  verdict.unknown = verdict.attempted - verdict.acked - verdict.failed;
  Miss miss = CompareOwn(history, rows.own, verdict.recovered);
  miss = Miss::Worst(miss, Compare(rows.counter, bounds.low, bounds.high));
  miss = Miss::Worst(miss, ComparePairs(history, rows));
  verdict.lost = miss.short_by;
  verdict.duplicated = miss.over_by;
  verdict.unexpected = miss.unexpected;
  verdict.found = verdict.acked - verdict.lost;
  return verdict;
}

std::pair<Key, Key> PairKeys(TableId table, uint32_t shard_count,
                             uint32_t client, uint32_t pair) {
  const Key base = (uint64_t{client} << 32) | (uint64_t{pair} << 16);
  const ShardId shard = ShardOf(table, base, shard_count);
  Key other = base + 1;
  while (shard_count > 1 && ShardOf(table, other, shard_count) == shard) {
    ++other;
  }
  return {base, other};
}

}  // namespace paramo::chaos
