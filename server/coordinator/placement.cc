#include "server/coordinator/placement.h"

#include <algorithm>
#include <map>

namespace paramo {
namespace {

// Shards per server before anything moves.
std::map<uint32_t, size_t> CountHeld(const std::vector<uint32_t>& servers,
                                     const Assignment& previous) {
  std::map<uint32_t, size_t> held;
  for (uint32_t server : servers) held[server] = 0;
  for (uint32_t server : previous) {
    auto it = held.find(server);
    if (it != held.end()) ++it->second;
  }
  return held;
}

}  // namespace

Assignment PlaceShards(std::vector<uint32_t> servers,
                       const Assignment& previous) {
  Assignment placed(previous.size(), 0);
  if (servers.empty()) return placed;
  const std::map<uint32_t, size_t> held = CountHeld(servers, previous);

  // `extra` servers get one shard more than the others. They go to those who
  // hold most already, because each of these then keeps one more.
  const size_t base = previous.size() / servers.size();
  const size_t extra = previous.size() % servers.size();
  std::sort(servers.begin(), servers.end(), [&](uint32_t a, uint32_t b) {
    size_t held_a = held.at(a), held_b = held.at(b);
    return held_a != held_b ? held_a > held_b : a < b;
  });
  std::map<uint32_t, size_t> room;
  for (size_t i = 0; i < servers.size(); ++i) {
    room[servers[i]] = base + (i < extra ? 1 : 0);
  }

  for (size_t shard = 0; shard < previous.size(); ++shard) {
    auto it = room.find(previous[shard]);
    if (it == room.end() || it->second == 0) continue;
    placed[shard] = previous[shard];
    --it->second;
  }
  // What is left goes round the servers, so that neighbouring shards lie on
  // different ones.
  auto next = room.begin();
  for (uint32_t& server : placed) {
    if (server != 0) continue;
    while (next->second == 0) {
      if (++next == room.end()) next = room.begin();
    }
    server = next->first;
    --next->second;
    if (++next == room.end()) next = room.begin();
  }
  return placed;
}

}  // namespace paramo
