#include "common/routing/routing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace paramo {
namespace {

TEST(Routing, MatchesTheGoldenVectors) {
  std::ifstream file(PARAMO_SOURCE_DIR "/tests/golden/routing.txt");
  ASSERT_TRUE(file.good());
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    TableId table;
    Key key;
    uint64_t hash;
    words >> std::dec >> table >> std::hex >> key >> hash >> std::dec;
    EXPECT_EQ(RoutingHash(table, key), hash) << line;
    for (uint32_t count : {1, 2, 64, 1024, 4096}) {
      ShardId shard;
      words >> shard;
      ASSERT_FALSE(words.fail()) << line;
      EXPECT_EQ(ShardOf(table, key, count), shard) << line;
    }
    ++cases;
  }
  EXPECT_EQ(cases, 6 * 8 + 64);
}

TEST(Routing, BatchEqualsOneByOne) {
  BitGen gen(7);
  std::vector<Key> keys(1000);
  for (Key& key : keys) key = gen.Next();
  std::vector<ShardId> shards(keys.size());
  for (uint32_t count : {1, 64, 4096}) {
    ShardsOf(9, keys, count, absl::MakeSpan(shards));
    for (size_t i = 0; i < keys.size(); ++i) {
      ASSERT_EQ(shards[i], ShardOf(9, keys[i], count));
    }
  }
}

TEST(Routing, TwiceTheShardsCutsEveryShardInTwo) {
  BitGen gen(8);
  for (int i = 0; i < 1000; ++i) {
    const Key key = gen.Next();
    EXPECT_EQ(ShardOf(3, key, 128) / 2, ShardOf(3, key, 64));
  }
}

// Chi-squared over 64 shards has mean 63 and standard deviation
// sqrt(2 * 63) = 11.2; 63 + 6 * 11.2 = 130 is never met by a uniform hash.
void ExpectBalanced(TableId table, const std::vector<Key>& keys) {
  std::vector<double> counts(64, 0);
  for (Key key : keys) ++counts[ShardOf(table, key, 64)];
  const double expected = static_cast<double>(keys.size()) / 64;
  double chi_squared = 0;
  for (double count : counts) {
    chi_squared += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_squared, 130);
  EXPECT_GT(chi_squared, 20);  // nor is it suspiciously even
}

TEST(Routing, SpreadsKeysOfEveryPatternEvenly) {
  const size_t n = 200000;
  std::vector<Key> keys(n);
  for (TableId table : {1u, 2u, 1000u}) {
    for (size_t i = 0; i < n; ++i) keys[i] = i;  // a dense tensor's blocks
    ExpectBalanced(table, keys);
    for (size_t i = 0; i < n; ++i) keys[i] = i << 32;
    ExpectBalanced(table, keys);
    for (size_t i = 0; i < n; ++i) keys[i] = i * 4096 + 7;
    ExpectBalanced(table, keys);
    BitGen gen(table);
    for (size_t i = 0; i < n; ++i) keys[i] = gen.Next();
    ExpectBalanced(table, keys);
  }
}

TEST(Routing, SpreadsTheFirstKeyOfManyTables) {
  std::vector<int> counts(64, 0);
  for (TableId table = 1; table <= 6400; ++table) {
    ++counts[ShardOf(table, 0, 64)];
  }
  // 100 each on average, standard deviation 10.
  for (int count : counts) {
    EXPECT_GT(count, 50);
    EXPECT_LT(count, 150);
  }
}

TEST(Routing, KnowsWhichShardCountsAreValid) {
  for (uint32_t count : {1u, 2u, 64u, 4096u}) {
    EXPECT_TRUE(IsValidShardCount(count));
  }
  for (uint32_t count : {0u, 3u, 65u, 8192u, 0x80000000u}) {
    EXPECT_FALSE(IsValidShardCount(count));
  }
}

}  // namespace
}  // namespace paramo
