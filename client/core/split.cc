#include "client/core/split.h"

#include <algorithm>

#include "common/routing/routing.h"

namespace paramo::client {
namespace {

struct Entry {
  uint64_t key;
  uint32_t position;
};

bool Before(const Entry& a, const Entry& b) {
  return a.key != b.key ? a.key < b.key : a.position < b.position;
}

// Counting sort by shard: stable, so that keys given in order stay in order.
// Returns where each shard's entries begin, and their end as one more element.
template <typename KeyAt>
std::vector<uint32_t> GroupByShard(TableId table, uint32_t n,
                                   uint32_t shard_count, const KeyAt& key_at,
                                   std::vector<Entry>& entries) {
  std::vector<ShardId> shards(n);
  std::vector<uint32_t> begins(shard_count + 1, 0);
  for (uint32_t i = 0; i < n; ++i) {
    shards[i] = ShardOf(table, key_at(i), shard_count);
    ++begins[shards[i] + 1];
  }
  for (uint32_t s = 0; s < shard_count; ++s) begins[s + 1] += begins[s];
  std::vector<uint32_t> next(begins.begin(), begins.end() - 1);
  entries.resize(n);
  for (uint32_t i = 0; i < n; ++i) {
    entries[next[shards[i]]++] = {key_at(i), i};
  }
  return begins;
}

// Sorts each shard's entries by key; true when some key occurs twice.
bool SortWithinShards(const std::vector<uint32_t>& begins,
                      std::vector<Entry>& entries) {
  bool duplicates = false;
  for (size_t s = 0; s + 1 < begins.size(); ++s) {
    auto first = entries.begin() + begins[s];
    auto last = entries.begin() + begins[s + 1];
    if (!std::is_sorted(first, last, Before)) std::sort(first, last, Before);
    duplicates |=
        std::adjacent_find(first, last, [](const Entry& a, const Entry& b) {
          return a.key == b.key;
        }) != last;
  }
  return duplicates;
}

template <typename KeyAt>
Split SplitBy(TableId table, uint32_t n, uint32_t shard_count,
              const KeyAt& key_at) {
  std::vector<Entry> entries;
  const std::vector<uint32_t> begins =
      GroupByShard(table, n, shard_count, key_at, entries);
  const bool duplicates = SortWithinShards(begins, entries);

  Split split;
  split.order.reserve(n);
  uint32_t distinct = 0;
  for (uint32_t s = 0; s < shard_count; ++s) {
    if (begins[s] == begins[s + 1]) continue;
    const uint32_t begin = distinct;
    for (uint32_t i = begins[s]; i < begins[s + 1]; ++i) {
      const bool again = i > begins[s] && entries[i].key == entries[i - 1].key;
      if (!again) {
        if (duplicates) split.starts.push_back(i);
        ++distinct;
      }
      split.order.push_back(entries[i].position);
    }
    split.runs.push_back({s, begin, distinct});
  }
  if (duplicates) split.starts.push_back(n);
  return split;
}

}  // namespace

Split SplitKeys(TableId table, std::span<const uint64_t> keys,
                uint32_t shard_count) {
  return SplitBy(table, static_cast<uint32_t>(keys.size()), shard_count,
                 [&](uint32_t i) { return keys[i]; });
}

Split SplitBlocks(TableId table, uint32_t blocks, uint32_t shard_count) {
  return SplitBy(table, blocks, shard_count,
                 [](uint32_t i) { return uint64_t{i}; });
}

}  // namespace paramo::client
