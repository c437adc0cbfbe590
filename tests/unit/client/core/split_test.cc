#include "client/core/split.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <vector>

#include "client/core/call.h"
#include "common/base/random.h"
#include "common/routing/routing.h"
#include "tests/unit/client/core/calls.h"

namespace paramo::client {
namespace {

// shard -> key -> positions in order: what a Split must say, said naively.
using Naive = std::map<ShardId, std::map<uint64_t, std::vector<uint32_t>>>;

Naive NaiveSplit(TableId table, const std::vector<uint64_t>& keys,
                 uint32_t shards) {
  Naive naive;
  for (uint32_t i = 0; i < keys.size(); ++i) {
    naive[ShardOf(table, keys[i], shards)][keys[i]].push_back(i);
  }
  return naive;
}

Naive ToNaive(const Split& split, const std::vector<uint64_t>& keys) {
  Naive naive;
  uint32_t next = 0;
  for (const ShardRun& run : split.runs) {
    EXPECT_EQ(run.begin, next);
    EXPECT_LT(run.begin, run.end);
    EXPECT_EQ(naive.count(run.shard), 0u);
    next = run.end;
    for (uint32_t u = run.begin; u < run.end; ++u) {
      auto positions = split.Positions(u);
      EXPECT_EQ(positions[0], split.First(u));
      auto& list = naive[run.shard][keys[positions[0]]];
      EXPECT_TRUE(list.empty()) << "key sent twice";
      for (uint32_t position : positions) {
        EXPECT_EQ(keys[position], keys[positions[0]]);
        list.push_back(position);
      }
    }
  }
  return naive;
}

TEST(Split, EqualsTheNaiveMapOnRandomKeys) {
  BitGen gen(21);
  for (int round = 0; round < 300; ++round) {
    const uint32_t shards = 1u << gen.Below(8);
    // Small ranges make duplicates, large ones make none.
    const uint64_t range = 1 + gen.Below(round % 2 == 0 ? 40 : 1u << 30);
    std::vector<uint64_t> keys(gen.Below(200));
    for (uint64_t& key : keys) key = gen.Below(range);
    if (round % 3 == 0) std::sort(keys.begin(), keys.end());
    const Split split = SplitKeys(5, keys, shards);
    EXPECT_EQ(ToNaive(split, keys), NaiveSplit(5, keys, shards))
        << "round " << round;
  }
}

TEST(Split, SendsKeysOfAShardInAscendingOrder) {
  const std::vector<uint64_t> keys = {9, 4, 7, 1, ~uint64_t{0}, 0};
  const Split split = SplitKeys(1, keys, 1);
  EXPECT_EQ(split.order, (std::vector<uint32_t>{5, 3, 1, 2, 0, 4}));
  EXPECT_TRUE(split.starts.empty());
}

TEST(Split, KeepsDuplicatesInTheOrderGiven) {
  const std::vector<uint64_t> keys = {9, 4, 9, 7};
  const Split split = SplitKeys(1, keys, 1);
  EXPECT_EQ(split.order, (std::vector<uint32_t>{1, 3, 0, 2}));
  EXPECT_EQ(split.starts, (std::vector<uint32_t>{0, 1, 2, 4}));
  ASSERT_EQ(split.runs.size(), 1u);
  EXPECT_EQ(split.runs[0].end, 3u);
}

TEST(Split, OfNothingIsEmpty) {
  const Split split = SplitKeys(1, {}, 64);
  EXPECT_TRUE(split.runs.empty());
  EXPECT_TRUE(split.order.empty());
}

TEST(Split, OfBlocksEqualsThatOfTheirNumbers) {
  std::vector<uint64_t> keys(777);
  std::iota(keys.begin(), keys.end(), uint64_t{0});
  const Split blocks = SplitBlocks(3, 777, 64);
  EXPECT_EQ(ToNaive(blocks, keys), NaiveSplit(3, keys, 64));
  EXPECT_EQ(blocks.order, SplitKeys(3, keys, 64).order);
}

TEST(Parcels, AreCutAtTheRequestTarget) {
  // 16 KiB rows: 255 and a bit fit into 4 MiB.
  const auto handle = MakeHandle(1, 4096);
  std::vector<uint64_t> keys(600);
  std::iota(keys.begin(), keys.end(), uint64_t{0});
  const std::vector<float> grads(600 * 4096);
  std::vector<Parcel> parcels;
  const Part part = PushOf(handle, keys, grads, 1);
  MakeParcels({&part, 1}, 1, false, parcels);
  ASSERT_EQ(parcels.size(), 3u);
  uint32_t next = 0;
  for (const Parcel& parcel : parcels) {
    EXPECT_EQ(parcel.begin, next);
    EXPECT_LE((parcel.end - parcel.begin) * (8 + 4 * 4096),
              kRequestBytesTarget);
    next = parcel.end;
  }
  EXPECT_EQ(next, 600u);
}

TEST(Parcels, EndTheClockOncePerShardOnTheLastPush) {
  const uint32_t shards = 8;
  const std::vector<uint64_t> keys = {1, 2, 3};
  const std::vector<float> grads(3);
  const std::vector<Part> parts = {
      PushOf(MakeHandle(1, 1), keys, grads, shards),
      PushOf(MakeHandle(2, 1), keys, grads, shards)};
  std::vector<Parcel> parcels;
  MakeParcels(parts, shards, true, parcels);
  std::vector<int> marks(shards, 0);
  std::vector<bool> ended(shards, false);
  for (const Parcel& parcel : parcels) {
    EXPECT_FALSE(ended[parcel.shard]) << "a push after the end of its clock";
    marks[parcel.shard] += parcel.end_of_clock;
    if (parcel.end_of_clock) ended[parcel.shard] = true;
    if (parcel.part == Parcel::kNoPart) {
      EXPECT_EQ(parcel.begin, parcel.end);
    }
  }
  EXPECT_EQ(marks, std::vector<int>(shards, 1));
}

}  // namespace
}  // namespace paramo::client
