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

bool Contains(const std::vector<uint32_t>& servers, uint32_t server) {
  return std::find(servers.begin(), servers.end(), server) != servers.end();
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

std::optional<ReplicaMove> NextReplicaMove(
    const std::vector<uint32_t>& takers, const std::vector<ShardLead>& shards) {
  std::map<uint32_t, int> held;
  for (const uint32_t server : takers) held[server] = 0;
  for (const ShardLead& shard : shards) {
    ++held[shard.primary];
    for (const uint32_t backup : shard.backups) ++held[backup];
  }
  // From the fullest there is to the emptiest that takes it.
  std::optional<ReplicaMove> best;
  int best_gap = 1;
  for (ShardId shard = 0; shard < shards.size(); ++shard) {
    const std::vector<uint32_t>& backups = shards[shard].backups;
    for (const uint32_t to : takers) {
      if (to == shards[shard].primary || Contains(backups, to)) continue;
      for (const uint32_t from : backups) {
        const int gap = held.at(from) - held.at(to);
        if (gap <= best_gap) continue;
        best = ReplicaMove{shard, from, to};
        best_gap = gap;
      }
    }
  }
  return best;
}

}  // namespace paramo
