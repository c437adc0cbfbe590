#include "server/coordinator/placement.h"

#include <algorithm>
#include <map>

#include "common/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace paramo {
namespace {

using testing::ElementsAre;

std::map<uint32_t, size_t> Counts(const Assignment& assignment) {
  std::map<uint32_t, size_t> counts;
  for (uint32_t server : assignment) ++counts[server];
  return counts;
}

TEST(Placement, GoesRoundTheServers) {
  EXPECT_THAT(PlaceShards({7, 3}, Assignment(5, 0)),
              ElementsAre(3, 7, 3, 7, 3));
}

TEST(Placement, WithoutServersNothingIsPlaced) {
  EXPECT_THAT(PlaceShards({}, {1, 2}), ElementsAre(0, 0));
}

TEST(Placement, OneMoreServerTakesOnlyItsShare) {
  Assignment two = PlaceShards({1, 2}, Assignment(64, 0));
  Assignment three = PlaceShards({1, 2, 3}, two);
  size_t moved = 0;
  for (size_t i = 0; i < two.size(); ++i) moved += two[i] != three[i];
  EXPECT_EQ(moved, 21u);  // 64 / 3, rounded down: 22, 21 and 21 remain
  EXPECT_EQ(Counts(three)[3], 21u);
}

TEST(Placement, ALostServersShardsAreSpreadAndNoOthersMove) {
  Assignment three = PlaceShards({1, 2, 3}, Assignment(64, 0));
  Assignment two = PlaceShards({1, 3}, three);
  for (size_t i = 0; i < two.size(); ++i) {
    EXPECT_TRUE(three[i] == 2 || two[i] == three[i]) << i;
  }
  EXPECT_EQ(Counts(two)[1], 32u);
}

// Random clusters: always balanced within one; and as few moves as balance
// allows. The least number of moves is the number of shards outside their
// server's final share, summed.
TEST(Placement, IsBalancedWithLeastMovementForAnyHistory) {
  const uint64_t seed = 20240817;
  SCOPED_TRACE(seed);
  BitGen gen(seed);
  for (int round = 0; round < 2000; ++round) {
    size_t shards = 1 + gen.Below(100);
    std::vector<uint32_t> servers;
    size_t count = 1 + gen.Below(12);
    for (uint32_t id = 1; id <= count; ++id) servers.push_back(id * 3);
    Assignment previous(shards, 0);
    for (uint32_t& server : previous) {
      server = static_cast<uint32_t>(gen.Below(count + 2) * 3);  // 0, gone too
    }
    Assignment placed = PlaceShards(servers, previous);

    size_t least = shards, most = 0, kept = 0;
    std::map<uint32_t, size_t> counts = Counts(placed);
    for (uint32_t server : servers) {
      least = std::min(least, counts[server]);
      most = std::max(most, counts[server]);
    }
    ASSERT_LE(most, least + 1);
    ASSERT_EQ(counts.count(0), 0u);
    for (size_t i = 0; i < shards; ++i) kept += placed[i] == previous[i];

    // The most any balanced placement can keep: the fullest servers get the
    // larger shares.
    std::map<uint32_t, size_t> before = Counts(previous);
    std::vector<size_t> held;
    for (uint32_t server : servers) held.push_back(before[server]);
    std::sort(held.rbegin(), held.rend());
    size_t keepable = 0;
    for (size_t i = 0; i < held.size(); ++i) {
      size_t share = shards / count + (i < shards % count ? 1 : 0);
      keepable += std::min(held[i], share);
    }
    ASSERT_EQ(kept, keepable);
  }
}

}  // namespace
}  // namespace paramo
