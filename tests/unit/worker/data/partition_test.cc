#include "worker/data/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "worker/data/batch_plan.h"
#include "worker/data/indexed_dataset.h"

namespace paramo {
namespace {

// 70 % label 0, 25 % label 1, 5 % label 2, sorted by label.
std::vector<uint8_t> SortedLabels(size_t examples) {
  std::vector<uint8_t> labels(examples);
  for (size_t i = 0; i < examples; ++i) {
    labels[i] = i * 100 < examples * 70 ? 0 : i * 100 < examples * 95 ? 1 : 2;
  }
  return labels;
}

BatchPlan Plan(Partition partition) {
  BatchPlan plan;
  plan.seed = 5;
  plan.examples = 1013;
  plan.batch_examples = 20;
  plan.batches_per_data_shard = 5;
  plan.epochs = 2;
  plan.partition = partition;
  return plan;
}

// The examples of each data shard.
std::vector<std::vector<uint32_t>> DataShards(Partition partition) {
  auto data = MakeIndexedDataset(SortedLabels(1013), 3);
  const BatchPlan plan = Plan(partition);
  BatchReader reader(*data, plan);
  std::vector<std::vector<uint32_t>> shards(plan.data_shards());
  Batch batch;
  for (uint64_t s = 0; s < plan.data_shards(); ++s) {
    for (uint32_t b = 0; b < plan.BatchesIn(s); ++b) {
      EXPECT_TRUE(reader.Read({s, b}, batch).ok());
      EXPECT_EQ(batch.indices.size(), batch.size);
      shards[s].insert(shards[s].end(), batch.indices.begin(),
                       batch.indices.end());
    }
  }
  return shards;
}

class PartitionTest : public ::testing::TestWithParam<Partition> {};

TEST_P(PartitionTest, EveryEpochCoversEveryExampleExactlyOnce) {
  const auto shards = DataShards(GetParam());
  const size_t per_epoch = shards.size() / 2;
  for (size_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<uint32_t> seen;
    for (size_t s = 0; s < per_epoch; ++s) {
      const auto& shard = shards[epoch * per_epoch + s];
      seen.insert(seen.end(), shard.begin(), shard.end());
    }
    std::sort(seen.begin(), seen.end());
    std::vector<uint32_t> all(1013);
    std::iota(all.begin(), all.end(), 0u);
    EXPECT_EQ(seen, all);
  }
}

TEST_P(PartitionTest, IsRepeatable) {
  EXPECT_EQ(DataShards(GetParam()), DataShards(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, PartitionTest,
                         ::testing::Values(Partition::kRandom,
                                           Partition::kStratified,
                                           Partition::kContiguous));

TEST(Partition, ContiguousKeepsTheOrderOfTheData) {
  const auto shards = DataShards(Partition::kContiguous);
  EXPECT_TRUE(std::is_sorted(shards[0].begin(), shards[0].end()));
  EXPECT_EQ(shards[1].front(), 100u);
  EXPECT_EQ(shards[1].back(), 199u);
}

TEST(Partition, StratifiedShardsHoldEachLabelInItsShare) {
  const std::vector<uint8_t> labels = SortedLabels(1013);
  std::map<int, double> share;
  for (uint8_t label : labels) share[label] += 1.0 / 1013;
  const auto shards = DataShards(Partition::kStratified);
  for (const auto& shard : shards) {
    std::map<int, size_t> counts;
    for (uint32_t example : shard) ++counts[labels[example]];
    for (const auto& [label, part] : share) {
      // One for its own rounding, one for how far the places of the shard's
      // ends are from even.
      EXPECT_NEAR(static_cast<double>(counts[label]),
                  part * static_cast<double>(shard.size()), 2.0)
          << label;
    }
  }
  EXPECT_NE(shards[0], shards[shards.size() / 2]);  // another epoch
}

TEST(Partition, HistogramCountsLabels) {
  EXPECT_EQ(LabelHistogram({1, 0, 1, 1}),
            "4 examples: label 0 1 (25.0 %), label 1 3 (75.0 %)");
  std::vector<int32_t> many(30);
  std::iota(many.begin(), many.end(), 0);
  EXPECT_THAT(LabelHistogram(many), ::testing::EndsWith("and 10 more labels"));
}

TEST(Partition, LabelsOfReadsAllExamples) {
  std::vector<uint8_t> labels = SortedLabels(1013);
  auto read = LabelsOf(*MakeIndexedDataset(labels, 3));
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE(
      std::equal(labels.begin(), labels.end(), read->begin(), read->end()));
}

}  // namespace
}  // namespace paramo
