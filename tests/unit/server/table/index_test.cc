#include <vector>

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "common/routing/routing.h"
#include "server/table/index.h"
#include "server/table/row.h"

namespace paramo {
namespace {

class RowIndexTest : public testing::Test {
 protected:
  void Add(Key key) {
    const uint32_t row = arena_.Take();
    HeaderOf(arena_.Row(row)) = {};
    HeaderOf(arena_.Row(row)).key = key;
    index_.Insert(RowIndex::HashOf(key), row, arena_);
  }
  void Erase(Key key) {
    const uint32_t row = Find(key);
    index_.Erase(RowIndex::HashOf(key), row);
    arena_.Free(row);
  }
  uint32_t Find(Key key) const {
    return index_.Find(key, RowIndex::HashOf(key), arena_);
  }

  RowArena arena_{32};
  RowIndex index_;
};

TEST_F(RowIndexTest, EmptyIndexFindsNothing) {
  EXPECT_EQ(Find(0), kNoRow);
  EXPECT_EQ(index_.Candidate(RowIndex::HashOf(0)), kNoRow);
  EXPECT_LE(index_.bytes(), 64u);
}

TEST_F(RowIndexTest, FindsEveryRowAfterEveryGrowth) {
  std::vector<Key> keys = {0, ~Key{0}};
  for (Key i = 1; i < 3000; ++i) keys.push_back(i << 40 | i);
  for (uint32_t i = 0; i < keys.size(); ++i) {
    ASSERT_EQ(Find(keys[i]), kNoRow);
    Add(keys[i]);
    if (i % 97 != 0 && i + 1 != keys.size()) continue;
    for (uint32_t j = 0; j <= i; ++j) ASSERT_EQ(Find(keys[j]), j);
  }
}

// As many rows for ever, of other keys again and again: what is erased must be
// gone, what is not must be found past it, and the table must not grow.
TEST_F(RowIndexTest, ErasedRowsMakeRoomForOthers) {
  BitGen gen(3);
  std::vector<Key> keys;
  for (Key key = 0; key < 2000; ++key) Add(keys.emplace_back(Mix64(key)));
  const size_t bytes = index_.bytes();
  for (Key key = 2000; key < 60'000; ++key) {
    Key& gone = keys[gen.Below(keys.size())];
    Erase(gone);
    ASSERT_EQ(Find(gone), kNoRow);
    Add(gone = Mix64(key));
    if (key % 1000 != 0) continue;
    for (const Key there : keys) {
      ASSERT_EQ(HeaderOf(arena_.Row(Find(there))).key, there);
    }
  }
  EXPECT_EQ(arena_.rows(), 2000u);
  EXPECT_LE(index_.bytes(), bytes * 14 / 10);
}

TEST_F(RowIndexTest, CandidateIsTheRowOrSomeOtherOfEqualTagOrCertainlyNone) {
  BitGen gen(3);
  std::vector<Key> keys;
  for (int i = 0; i < 20000; ++i) {
    keys.push_back(gen.Next());
    Add(keys.back());
  }
  size_t wrong = 0;
  for (uint32_t i = 0; i < keys.size(); ++i) {
    const uint32_t candidate = index_.Candidate(RowIndex::HashOf(keys[i]));
    ASSERT_NE(candidate, kNoRow);
    wrong += candidate != i ? 1 : 0;
  }
  EXPECT_LT(wrong, keys.size() / 20);  // 12 tags of 255 per group at most
}

TEST_F(RowIndexTest, CostsAtMostEightBytesPerRow) {
  for (Key key = 0; key < 200000; ++key) {
    Add(key);
    if (key > 1000) {
      ASSERT_LE(index_.bytes(), 8 * arena_.rows()) << key;
    }
  }
}

TEST_F(RowIndexTest, KeysOfOneShardDoNotCrowd) {
  // They agree in the top bits of the routing hash. If the index used those,
  // searches for missing keys would walk long runs of full groups and meet
  // many equal tags.
  Key key = 0;
  for (int rows = 0; rows < 20000; ++key) {
    if (ShardOf(/*table=*/1, key, /*shard_count=*/4096) != 9) continue;
    Add(key);
    ++rows;
  }
  size_t candidates = 0;
  for (int probes = 0; probes < 5000; ++key) {
    if (ShardOf(1, key, 4096) != 9) continue;
    ++probes;
    candidates += index_.Candidate(RowIndex::HashOf(key)) != kNoRow ? 1 : 0;
  }
  EXPECT_LT(candidates, 5000u / 8);  // about 12/255, a little more with probing
}

}  // namespace
}  // namespace paramo
