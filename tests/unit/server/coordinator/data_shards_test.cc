#include "server/coordinator/data_shards.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/random.h"
#include "gmock/gmock.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// 10 examples in batches of 2 are 5 batches; cut by 2 they are shards of 2, 2
// and 1 batches; two epochs have 6 shards.
DataPlan Plan(bool owned, uint32_t workers = 2) {
  DataPlan plan;
  plan.workers = workers;
  plan.epochs = 2;
  plan.examples = 10;
  plan.batch = 2;
  plan.batches_per_shard = 2;
  plan.owned = owned;
  return plan;
}

bool NobodyGone(WorkerId) { return false; }

std::vector<uint64_t> Ids(const std::vector<DataPlace>& places) {
  std::vector<uint64_t> ids;
  for (const DataPlace& place : places) ids.push_back(place.shard);
  return ids;
}

TEST(DataPlan, CutsAnEpochIntoShards) {
  DataPlan plan = Plan(false);
  EXPECT_EQ(plan.BatchesPerEpoch(), 5u);
  EXPECT_EQ(plan.ShardsPerEpoch(), 3u);
  EXPECT_EQ(plan.Shards(), 6u);
  EXPECT_EQ(plan.BatchesOf(0), 2u);
  EXPECT_EQ(plan.BatchesOf(2), 1u);
  EXPECT_EQ(plan.BatchesOf(5), 1u);
  plan.examples = 11;  // a last batch of one example
  EXPECT_EQ(plan.BatchesPerEpoch(), 6u);
  EXPECT_EQ(plan.BatchesOf(2), 2u);
}

TEST(DataShards, FreeShardsGoInOrderToWhoAsks) {
  DataShards shards(Plan(false));
  EXPECT_THAT(Ids(shards.Lease(1, {}, 2, NobodyGone)), ElementsAre(0, 1));
  EXPECT_THAT(Ids(shards.Lease(0, {}, 2, NobodyGone)), ElementsAre(2, 3));
}

TEST(DataShards, OwnedShardsGoToTheirOwner) {
  DataShards shards(Plan(true));
  EXPECT_THAT(Ids(shards.Lease(1, {}, 3, NobodyGone)), ElementsAre(1, 3, 5));
  EXPECT_THAT(Ids(shards.Lease(1, {{1}, {3}, {5}}, 4, NobodyGone)), IsEmpty());
  EXPECT_THAT(Ids(shards.Lease(0, {}, 2, NobodyGone)), ElementsAre(0, 2));
}

TEST(DataShards, TheShardsOfAnOwnerWhoIsGoneGoToOthersLowestFirst) {
  DataShards shards(Plan(true));
  ASSERT_THAT(Ids(shards.Lease(1, {}, 1, NobodyGone)), ElementsAre(1));
  shards.Return(1);
  auto one_gone = [](WorkerId rank) { return rank == 1; };
  EXPECT_THAT(Ids(shards.Lease(0, {}, 4, one_gone)), ElementsAre(0, 1, 2, 3));
  // It is back: what is left of its own is its own again.
  EXPECT_THAT(Ids(shards.Lease(1, {}, 4, NobodyGone)), ElementsAre(5));
}

TEST(DataShards, AReturnedShardResumesAtTheLastReportedBatch) {
  DataShards shards(Plan(false));
  shards.Lease(0, {}, 2, NobodyGone);
  ASSERT_TRUE(shards.Report(0, {{0, 1, false}, {1, 0, false}}).ok());
  shards.Return(0);
  // 1 batch of shard 0 and 2 of shard 1 may have been read already.
  EXPECT_EQ(shards.batches_repeated(), 3u);
  auto leases = shards.Lease(1, {}, 2, NobodyGone);
  ASSERT_THAT(Ids(leases), ElementsAre(0, 1));
  EXPECT_EQ(leases[0].batches_done, 1u);
  EXPECT_EQ(leases[1].batches_done, 0u);
}

TEST(DataShards, AnAnswerThatWasLostIsGivenAgain) {
  DataShards shards(Plan(false));
  shards.Lease(0, {}, 2, NobodyGone);
  EXPECT_THAT(Ids(shards.Lease(0, {}, 2, NobodyGone)), ElementsAre(0, 1));
  // The worker names what it holds: nothing is repeated.
  EXPECT_THAT(Ids(shards.Lease(0, {{0}, {1}}, 2, NobodyGone)), IsEmpty());
  // A report repeated because its answer was lost changes nothing.
  ASSERT_TRUE(shards.Report(0, {{0, 2, true}}).ok());
  ASSERT_TRUE(shards.Report(0, {{0, 2, true}}).ok());
  EXPECT_EQ(shards.finished(), 1u);
}

TEST(DataShards, ReportsOfOthersShardsAndOldPositionsAreIgnored) {
  DataShards shards(Plan(false));
  shards.Lease(0, {}, 1, NobodyGone);
  ASSERT_TRUE(shards.Report(1, {{0, 2, true}}).ok());
  EXPECT_EQ(shards.finished(), 0u);
  ASSERT_TRUE(shards.Report(0, {{0, 2, false}}).ok());
  ASSERT_TRUE(shards.Report(0, {{0, 1, false}}).ok());
  shards.Return(0);
  EXPECT_EQ(shards.Lease(1, {}, 1, NobodyGone)[0].batches_done, 2u);
}

TEST(DataShards, RefusesPositionsThatDoNotExist) {
  DataShards shards(Plan(false));
  EXPECT_CODE(kInvalidArgument, shards.Report(0, {{6, 0, false}}));
  EXPECT_CODE(kInvalidArgument, shards.Report(0, {{0, 3, false}}));
  EXPECT_CODE(kInvalidArgument, shards.Report(0, {{2, 2, true}}));
}

TEST(DataShards, IsExhaustedOnlyWhenNothingCanComeBackFromOthers) {
  DataShards shards(Plan(false));
  shards.Lease(0, {}, 3, NobodyGone);
  EXPECT_FALSE(shards.Exhausted(0));
  shards.Lease(1, {}, 3, NobodyGone);
  EXPECT_FALSE(shards.Exhausted(0));  // worker 1 may die
  ASSERT_TRUE(
      shards.Report(1, {{3, 2, true}, {4, 2, true}, {5, 1, true}}).ok());
  EXPECT_TRUE(shards.Exhausted(0));  // only its own are left
  EXPECT_FALSE(shards.Exhausted(1));
  ASSERT_TRUE(
      shards.Report(0, {{0, 2, true}, {1, 2, true}, {2, 1, true}}).ok());
  EXPECT_TRUE(shards.Exhausted(1));
  EXPECT_TRUE(shards.AllFinished());
}

TEST(DataShards, ComesBackFromTheStore) {
  DataShards shards(Plan(true));
  shards.Lease(0, {}, 2, NobodyGone);
  shards.Lease(1, {}, 1, NobodyGone);
  ASSERT_TRUE(shards.Report(0, {{0, 2, true}, {2, 1, false}}).ok());
  shards.Return(1);
  DataShards reloaded(Plan(true));
  ASSERT_TRUE(reloaded.Load(shards.Serialise()).ok());
  EXPECT_EQ(reloaded.finished(), 1u);
  EXPECT_EQ(reloaded.batches_repeated(), 2u);
  EXPECT_EQ(reloaded.Serialise(), shards.Serialise());
  EXPECT_THAT(Ids(reloaded.Lease(1, {}, 2, NobodyGone)), ElementsAre(1, 3));
  EXPECT_CODE(kDataLoss, reloaded.Load("\xff"));
}

// Workers lease, report, die and come back at random: every batch of every
// shard is read, by somebody who resumed where the last report left off, and
// the repeats counted are at least those that happened.
TEST(DataShards, EveryBatchIsReadWhateverHappens) {
  const uint64_t seed = 771;
  SCOPED_TRACE(seed);
  for (uint64_t round = 0; round < 200; ++round) {
    BitGen gen(seed + round);
    DataPlan plan = Plan(/*owned=*/round % 2 == 1, /*workers=*/3);
    plan.examples = 1 + gen.Below(100);
    DataShards shards(plan);
    std::map<std::pair<uint64_t, uint32_t>, int> reads;
    std::map<WorkerId, std::map<uint64_t, uint32_t>> held;
    std::set<WorkerId> gone;
    auto is_gone = [&](WorkerId rank) { return gone.count(rank) > 0; };
    for (int step = 0; step < 100'000 && !shards.AllFinished(); ++step) {
      WorkerId worker = static_cast<WorkerId>(gen.Below(3));
      if (gen.Below(20) == 0) {
        if (gone.erase(worker) == 0 && gone.size() < 2) {
          gone.insert(worker);
          shards.Return(worker);
          held[worker].clear();
        }
      }
      if (is_gone(worker)) continue;
      auto& mine = held[worker];
      for (auto& [shard, done] : mine) {
        for (uint64_t n = gen.Below(3); n > 0; --n) {
          if (done < plan.BatchesOf(shard)) ++reads[{shard, done++}];
        }
      }
      if (gen.Below(2) == 0) continue;  // reads on without reporting
      std::vector<DataPlace> places;
      for (const auto& [shard, done] : mine) {
        places.push_back({shard, done, done == plan.BatchesOf(shard)});
      }
      ASSERT_TRUE(shards.Report(worker, places).ok());
      for (const DataPlace& place : places) {
        if (place.finished) mine.erase(place.shard);
      }
      for (const DataPlace& lease : shards.Lease(worker, places, 2, is_gone)) {
        ASSERT_TRUE(mine.emplace(lease.shard, lease.batches_done).second);
      }
      for (WorkerId other = 0; other < 3; ++other) {
        if (other == worker) continue;
        for (const auto& [shard, done] : mine) {
          ASSERT_EQ(held[other].count(shard), 0u);
        }
      }
    }
    ASSERT_TRUE(shards.AllFinished());
    uint64_t repeats = 0;
    for (uint64_t shard = 0; shard < plan.Shards(); ++shard) {
      for (uint32_t batch = 0; batch < plan.BatchesOf(shard); ++batch) {
        int n = reads[{shard, batch}];
        ASSERT_GE(n, 1) << shard << ":" << batch;
        repeats += static_cast<uint64_t>(n - 1);
      }
    }
    EXPECT_LE(repeats, shards.batches_repeated());
  }
}

}  // namespace
}  // namespace paramo
