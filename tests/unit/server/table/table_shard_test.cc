// Write-behind, restoring, altering and reading the rows of one shard.
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/table/table_test_util.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TestPush Ones(std::vector<Key> keys, uint32_t dim = 1) {
  TestPush push;
  push.rows.assign(keys.size(), std::vector<float>(dim, 1));
  push.keys = std::move(keys);
  return push;
}

// ---- Write-behind -----------------------------------------------------------

TEST(TableDirty, RowsAreDirtyFromChangeToCollection) {
  TableShard table(MakeConfig(1), 0);
  Apply(table, Ones({1, 2, 3}), 1);
  EXPECT_EQ(table.dirty_rows(), 3u);
  EXPECT_THAT(Collect(table, 10), ElementsAre(1, 2, 3));
  EXPECT_EQ(table.dirty_rows(), 0u);
  EXPECT_THAT(Collect(table, 10), IsEmpty());
  Apply(table, Ones({2}), 2);  // changed after its collection
  EXPECT_THAT(Collect(table, 10), ElementsAre(2));
}

TEST(TableDirty, ChangingTwiceIsDirtyOnce) {
  TableShard table(MakeConfig(1), 0);
  Apply(table, Ones({1}), 1);
  Apply(table, Ones({1}), 2);
  EXPECT_EQ(table.dirty_rows(), 1u);
}

TEST(TableDirty, CollectedRecordIsTheWholeRow) {
  TableShard table(MakeConfig(3, "adam"), 0);
  Apply(table, Ones({42}, 3), 5);
  std::vector<uint8_t> copy;
  table.BeginSweep();
  table.CollectDirty(1, [&copy](absl::Span<const uint8_t> record) {
    copy.assign(record.begin(), record.end());
  });
  EXPECT_EQ(copy.size(), 32u + 3 * 3 * 4);
  EXPECT_EQ(copy, Records(table).at(42));
}

TEST(TableDirty, FailedIngestMakesRowsDirtyAgain) {
  TableShard table(MakeConfig(1), 0);
  Apply(table, Ones({1, 2, 3}), 1);
  const std::vector<Key> collected = Collect(table, 2);
  Apply(table, Ones({1}), 2);  // dirty again already
  EXPECT_EQ(collected.size(), 2u);
  EXPECT_EQ(table.dirty_rows(), 2u);
  table.FlushSettled(/*stored=*/false);
  EXPECT_EQ(table.dirty_rows(), 3u);
  Collect(table, 1);
  table.FlushSettled(/*stored=*/true);
  EXPECT_EQ(table.dirty_rows(), 2u);
}

TEST(TableDirty, GoesRoundRobinPastHotRows) {
  // Rows 0 to 9 are dirty before every collection of 10; the others must get
  // their turn all the same.
  TableShard table(MakeConfig(1), 0);
  std::vector<Key> all, hot;
  for (Key key = 0; key < 200; ++key) all.push_back(key);
  hot.assign(all.begin(), all.begin() + 10);
  Apply(table, Ones(all), 1);
  std::map<Key, int> times;
  for (Lsn lsn = 2; lsn < 22; ++lsn) {
    Apply(table, Ones(hot), lsn);
    for (const Key key : Collect(table, 10)) ++times[key];
  }
  for (const Key key : all) EXPECT_EQ(times[key], 1) << key;
}

// ---- Restore ----------------------------------------------------------------

TEST(TableRestore, RoundTripIsExactAndClean) {
  TableShard table(MakeConfig(5, "adam"), 0);
  TestPush push;
  for (Key key = 0; key < 500; ++key) {
    push.keys.push_back(key * key);
    push.rows.push_back(std::vector<float>(5, 0.1f * float(key)));
  }
  Apply(table, push, 1, 50);
  Apply(table, push, 2, 51);
  TableShard restored(MakeConfig(5, "adam"), 0);
  table.ForEachRow([&restored](absl::Span<const uint8_t> record) {
    EXPECT_TRUE(restored.Restore(record).ok());
  });
  EXPECT_EQ(Records(restored), Records(table));
  EXPECT_EQ(restored.Checksum(), table.Checksum());
  EXPECT_EQ(restored.dirty_rows(), 0u);
}

TEST(TableRestore, OnlyNewerRecordsReplace) {
  TableShard old_table(MakeConfig(1), 0), table(MakeConfig(1), 0);
  Apply(old_table, Ones({1}), 5);
  const auto old_record = Records(old_table).at(1);
  Apply(table, Ones({1}), 5);
  Apply(table, Ones({1}), 6);
  const auto record = Records(table).at(1);
  EXPECT_TRUE(table.Restore(old_record).ok());
  EXPECT_EQ(Records(table).at(1), record);
  EXPECT_EQ(table.dirty_rows(), 1u);  // and still not stored
  EXPECT_TRUE(old_table.Restore(record).ok());
  EXPECT_EQ(Records(old_table).at(1), record);
  EXPECT_EQ(old_table.dirty_rows(), 0u);
}

TEST(TableRestore, DamagedRecordsAreDataLoss) {
  TableShard table(MakeConfig(2, "momentum"), 0);
  Apply(table, Ones({1}, 2), 5);
  const auto good = Records(table).at(1);
  TableShard target(MakeConfig(2, "momentum"), 0);
  auto expect_loss = [&target](const std::vector<uint8_t>& record) {
    EXPECT_EQ(target.Restore(record).code(), absl::StatusCode::kDataLoss);
  };
  expect_loss({});
  expect_loss({good.begin(), good.end() - 1});
  auto longer = good;
  longer.push_back(0);
  expect_loss(longer);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (size_t at = 32; at < good.size(); at += 4) {
    auto bad = good;
    std::memcpy(&bad[at], &nan, 4);
    expect_loss(bad);
  }
  EXPECT_EQ(target.rows(), 0u);
}

TEST(TableRestore, StopsAtTheRowLimit) {
  TableShard table(MakeConfig(1), 0);
  Apply(table, Ones({1, 2}), 5);
  TableShard target(MakeConfig(1), 0, /*rows_max=*/1);
  EXPECT_TRUE(target.Restore(Records(table).at(1)).ok());
  EXPECT_EQ(target.Restore(Records(table).at(2)).code(),
            absl::StatusCode::kResourceExhausted);
}

// ---- Altering ---------------------------------------------------------------

TEST(TableAlter, TakesRuleOfTheSameSlotsAndNewParameters) {
  TableShard table(MakeConfig(1, "momentum"), 0);
  Apply(table, Ones({1}), 1);
  EXPECT_TRUE(table.SetConfig(MakeConfig(1, "nesterov")).ok());
  TableConfig config = MakeConfig(1, "nesterov", {{"lr", 0}});
  config.version = 3;
  EXPECT_TRUE(table.SetConfig(config).ok());
  EXPECT_EQ(table.config().version, 3u);
  const std::vector<float> before = Pull(table, {1});
  Apply(table, Ones({1}), 2);  // lr 0: stands still
  EXPECT_EQ(Pull(table, {1}), before);
}

TEST(TableAlter, RefusesWhatIsFixed) {
  TableShard table(MakeConfig(2), 0);
  std::vector<TableConfig> configs(4, MakeConfig(2));
  configs[0].dim = 3;
  configs[1].seed = 6;
  configs[2].initializer = {.kind = Initializer::Kind::kConstant, .a = 1};
  configs[3].id = 8;
  for (const TableConfig& config : configs) {
    EXPECT_EQ(table.SetConfig(config).code(),
              absl::StatusCode::kInvalidArgument);
  }
  const absl::Status status = table.SetConfig(MakeConfig(2, "adam"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("mean[dim], mean_square[dim]"));
  EXPECT_EQ(table.config().rule->info().name, "sgd");
}

TEST(TableAlter, RefusesSlotsOfAnotherMeaningOrWidth) {
  // Equally wide: a velocity may be negative, a sum of squares may not.
  TableShard velocity(MakeConfig(1, "momentum"), 0);
  EXPECT_FALSE(velocity.SetConfig(MakeConfig(1, "adagrad")).ok());
  TableShard per_element(MakeConfig(1, "adagrad"), 0);
  EXPECT_FALSE(per_element.SetConfig(MakeConfig(1, "rowwise_adagrad")).ok());
}

// ---- Reading ----------------------------------------------------------------

TEST(TableKeys, AscendingFromAndLimited) {
  TableShard table(MakeConfig(1), 0);
  Apply(table, Ones({50, 10, 40, ~Key{0}, 20, 0, 30}), 1);
  EXPECT_THAT(table.Keys(0, 3), ElementsAre(0, 10, 20));
  EXPECT_THAT(table.Keys(11, 3), ElementsAre(20, 30, 40));
  EXPECT_THAT(table.Keys(50, 100), ElementsAre(50, ~Key{0}));
  EXPECT_THAT(table.Keys(0, 0), IsEmpty());
}

TEST(TableChecksum, SeesEverythingButOrderAndLastUse) {
  auto make = [](std::vector<Key> keys, Lsn lsn, uint32_t last_use) {
    TableShard table(MakeConfig(2, "adagrad"), 0);
    Apply(table, Ones(std::move(keys), 2), lsn, last_use);
    return table.Checksum();
  };
  EXPECT_EQ(TableShard(MakeConfig(2), 0).Checksum(), 0u);
  EXPECT_EQ(make({1, 2, 3}, 1, 0), make({3, 1, 2}, 1, 99));
  EXPECT_NE(make({1, 2, 3}, 1, 0), make({1, 2, 4}, 1, 0));
  EXPECT_NE(make({1, 2, 3}, 1, 0), make({1, 2, 3}, 2, 0));
}

TEST(TableChecksum, IsTheDocumentedSum) {
  // XXH3-64 of one record, computed beforehand by a C program with libxxhash:
  // key 1, lsn 1, count 1, value -0.01 (sgd's default lr).
  TableShard table(MakeConfig(1), 0);
  Apply(table, Ones({1}), 1, /*last_use=*/7);
  const uint64_t one = table.Checksum();
  Apply(table, Ones({2}), 1);
  TableShard other(MakeConfig(1), 0);
  Apply(other, Ones({2}), 1);
  EXPECT_EQ(table.Checksum(), one + other.Checksum());
  EXPECT_EQ(one, 0xfe7286ee26cd4386ull);
}

TEST(TableBytes, CountsRowsAndIndex) {
  TableShard table(MakeConfig(64, "adagrad"), 0);
  EXPECT_LT(table.bytes(), 4096u);  // an empty table costs next to nothing
  std::vector<Key> keys;
  for (Key key = 0; key < 10000; ++key) keys.push_back(key);
  Apply(table, Ones(keys, 64), 1);
  const size_t records = 10000 * table.layout().stride();
  EXPECT_GT(table.bytes(), records);
  EXPECT_LT(table.bytes(), records * 3 / 2 + (256 << 10));
}

}  // namespace
}  // namespace paramo
