#include "server/coordinator/balance.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

namespace paramo {
namespace {

// Edges go from the primary of a shard to its backups: along one, a shard's
// lead can move. On the shortest way from `source` to a server that leads two
// fewer, everybody in between leads at most one fewer, so the last step, which
// is taken first, makes the numbers no less equal and the way shorter.
std::optional<PrimaryMove> LastStepFrom(uint32_t source,
                                        const std::map<uint32_t, int>& led,
                                        const std::vector<ShardLead>& shards) {
  std::set<uint32_t> seen = {source};
  std::deque<uint32_t> next = {source};
  for (; !next.empty(); next.pop_front()) {
    for (ShardId shard = 0; shard < shards.size(); ++shard) {
      if (shards[shard].primary != next.front()) continue;
      for (const uint32_t backup : shards[shard].backups) {
        if (!seen.insert(backup).second) continue;
        if (led.at(backup) + 2 <= led.at(source)) {
          return PrimaryMove{shard, backup};
        }
        next.push_back(backup);
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<PrimaryMove> NextPrimaryMove(
    const std::vector<uint32_t>& servers,
    const std::vector<ShardLead>& shards) {
  std::map<uint32_t, int> led;
  for (const uint32_t server : servers) led[server] = 0;
  for (const ShardLead& shard : shards) ++led[shard.primary];
  std::vector<uint32_t> sources = servers;
  std::stable_sort(sources.begin(), sources.end(), [&](uint32_t a, uint32_t b) {
    return led.at(a) > led.at(b);
  });
  for (const uint32_t source : sources) {
    if (auto move = LastStepFrom(source, led, shards)) return move;
  }
  return std::nullopt;
}

}  // namespace paramo
