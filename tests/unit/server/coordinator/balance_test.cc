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

std::map<uint32_t, int> CountHeld(const std::vector<uint32_t>& servers,
                                  const std::vector<ShardLead>& shards) {
  std::map<uint32_t, int> held = Count(servers, shards);
  for (const ShardLead& shard : shards) {
    for (uint32_t backup : shard.backups) ++held[backup];
  }
  return held;
}

TEST(BalanceReplicasTest, AnEmptyServerGetsItsShareFromTheFullest) {
  std::vector<ShardLead> shards(4, {1, {2}});
  shards.resize(6, {2, {1}});
  const auto move = NextReplicaMove({1, 2, 3}, shards);
  ASSERT_TRUE(move);
  EXPECT_EQ(move->to, 3u);
  EXPECT_THAT(shards[move->shard].backups, Contains(move->from));
}

TEST(BalanceReplicasTest, NobodyHoldsAShardTwice) {
  std::vector<ShardLead> shards(4, {1, {2}});
  shards.resize(6, {1, {3}});  // 6, 4, 2, but 2 may not go to 1
  for (int moves = 0; auto move = NextReplicaMove({1, 2, 3}, shards); ++moves) {
    ASSERT_LT(moves, 10);
    ShardLead& shard = shards[move->shard];
    EXPECT_NE(move->to, shard.primary);
    EXPECT_EQ(move->from, shard.backups[0]);
    shard.backups[0] = move->to;
  }
  EXPECT_EQ(CountHeld({1, 2, 3}, shards),
            (std::map<uint32_t, int>{{1, 6}, {2, 3}, {3, 3}}));
}

TEST(BalanceReplicasTest, WhoTakesNothingGetsNothing) {
  std::vector<ShardLead> shards(4, {1, {2}});
  EXPECT_FALSE(NextReplicaMove({1, 2}, shards));
  EXPECT_FALSE(NextReplicaMove({}, shards));
  EXPECT_TRUE(NextReplicaMove({3}, shards));
}

// With both kinds of moves in turn any placement ends even: backups first, then
// leads, which may set other backups free.
TEST(BalanceReplicasTest, RandomPlacementsEndEven) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<uint32_t> servers;
    for (uint32_t i = 1; i <= 3 + random() % 4; ++i) servers.push_back(i);
    std::vector<ShardLead> shards(8 * servers.size());
    for (ShardLead& shard : shards) {  // all of it on two of the servers
      shard.primary = 1 + random() % 2;
      shard.backups = {3 - shard.primary};
    }
    for (int moves = 0;; ++moves) {
      ASSERT_LT(moves, 10000);
      if (auto move = NextReplicaMove(servers, shards)) {
        shards[move->shard].backups = {move->to};
      } else if (auto lead = NextPrimaryMove(servers, shards)) {
        shards[lead->shard].backups = {shards[lead->shard].primary};
        shards[lead->shard].primary = lead->to;
      } else {
        break;
      }
    }
    EXPECT_LE(Spread(CountHeld(servers, shards)), 1);
    EXPECT_LE(Spread(Count(servers, shards)), 1);
  }
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
