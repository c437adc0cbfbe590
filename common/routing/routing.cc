#include "common/routing/routing.h"

#include "common/base/check.h"
#include "common/base/limits.h"

namespace paramo {

static_assert(IsValidShardCount(kShardsMax) &&
              !IsValidShardCount(kShardsMax * 2));

void ShardsOf(TableId table, absl::Span<const Key> keys, uint32_t shard_count,
              absl::Span<ShardId> shards) {
  PARAMO_CHECK(keys.size() == shards.size());
  const uint64_t salt = Mix64(table);  // once, not per key
  for (size_t i = 0; i < keys.size(); ++i) {
    const uint64_t hash = Mix64(salt ^ keys[i]);
    shards[i] = static_cast<ShardId>(
        (static_cast<unsigned __int128>(hash) * shard_count) >> 64);
  }
}

}  // namespace paramo
