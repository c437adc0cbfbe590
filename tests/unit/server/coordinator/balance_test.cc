#include "server/coordinator/balance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace paramo {
namespace {

using ::testing::Contains;

std::map<uint32_t, int> Count(const std::vector<uint32_t>& servers,
                              const std::vector<ShardLead>& shards) {
  std::map<uint32_t, int> led;
  for (uint32_t server : servers) led[server] = 0;
  for (const ShardLead& shard : shards) ++led[shard.primary];
  return led;
}

int Spread(const std::map<uint32_t, int>& led) {
  int low = led.begin()->second, high = low;
  for (const auto& [server, count] : led) {
    low = std::min(low, count);
    high = std::max(high, count);
  }
  return high - low;
}

// Makes all moves; returns how many.
int BalanceAll(const std::vector<uint32_t>& servers,
               std::vector<ShardLead>& shards) {
  int moves = 0;
  while (auto move = NextPrimaryMove(servers, shards)) {
    ShardLead& shard = shards[move->shard];
    EXPECT_THAT(shard.backups, Contains(move->to));
    std::replace(shard.backups.begin(), shard.backups.end(), move->to,
                 shard.primary);
    shard.primary = move->to;
    if (++moves > 10000) {
      ADD_FAILURE() << "no end";
      break;
    }
  }
  return moves;
}

TEST(BalanceTest, WithinOneOfEachOtherIsBalanced) {
  std::vector<ShardLead> shards = {{1, {2}}, {1, {2}}, {2, {1}}};
  EXPECT_FALSE(NextPrimaryMove({1, 2}, shards));
  EXPECT_FALSE(NextPrimaryMove({1, 2}, {}));
  EXPECT_FALSE(NextPrimaryMove({}, {}));
}

TEST(BalanceTest, AServerThatCameBackGetsItsShare) {
  std::vector<ShardLead> shards(3, {1, {3}});
  shards.resize(5, {1, {2}});
  shards.resize(8, {2, {3}});
  shards.resize(9, {2, {1}});
  EXPECT_EQ(BalanceAll({1, 2, 3}, shards), 3);
  EXPECT_EQ(Count({1, 2, 3}, shards),
            (std::map<uint32_t, int>{{1, 3}, {2, 3}, {3, 3}}));
}

// 1 leads five and all its backups are with 2; the backups of 2 are with 3.
TEST(BalanceTest, GoesThroughAThirdServer) {
  std::vector<ShardLead> shards(5, {1, {2}});
  shards.resize(9, {2, {3}});
  shards.resize(12, {3, {2}});
  // 5, 4, 3: first 2 gives one to 3, then 1 gives one to 2.
  EXPECT_EQ(BalanceAll({1, 2, 3}, shards), 2);
  EXPECT_EQ(Count({1, 2, 3}, shards),
            (std::map<uint32_t, int>{{1, 4}, {2, 4}, {3, 4}}));
}

TEST(BalanceTest, WithoutBackupsThereIsNothingToDo) {
  std::vector<ShardLead> shards(5, {1, {}});
  EXPECT_FALSE(NextPrimaryMove({1, 2}, shards));
}

// Whatever the placement: it ends, and where two servers are more than one
// apart no chain of backups leads from the one to the other.
TEST(BalanceTest, RandomPlacementsEndBalanced) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const uint32_t count = 2 + random() % 5;
    std::vector<uint32_t> servers;
    for (uint32_t i = 1; i <= count; ++i) servers.push_back(i);
    std::vector<ShardLead> shards(1 + random() % 40);
    for (ShardLead& shard : shards) {
      std::shuffle(servers.begin(), servers.end(), random);
      // All of them on the first two thirds of the servers, as after a failure.
      shard.primary = 1 + random() % std::max(1u, count * 2 / 3);
      for (uint32_t server : servers) {
        if (server != shard.primary && shard.backups.size() < 2) {
          shard.backups.push_back(server);
        }
      }
    }
    BalanceAll(servers, shards);
    // Two random backups each connect every pair of servers that leads enough.
    if (shards.size() > 4 * count) {
      EXPECT_LE(Spread(Count(servers, shards)), 1);
    }
  }
}

}  // namespace
}  // namespace paramo
