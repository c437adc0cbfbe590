// Rows that leave memory for the store, and come back.
#include <limits>
#include <optional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "tests/unit/server/table/table_test_util.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// A table and what the store has of it.
class EvictTest : public ::testing::Test {
 protected:
  static TableConfig Config(const std::string& rule = "adagrad") {
    TableConfig config = MakeConfig(3, rule);
    config.memory_budget = 1;
    config.initializer = {.kind = Initializer::Kind::kUniform, .a = 0.5};
    return config;
  }
  static TestPush Ones(std::vector<Key> keys) {
    TestPush push;
    push.rows.assign(keys.size(), std::vector<float>(3, 1));
    push.keys = std::move(keys);
    return push;
  }

  // Hands rows out; they are in `stored_` from then on, settled or not.
  void Collect(size_t rows_max = 1000) {
    if (table_->SweepDone()) table_->BeginSweep();
    table_->CollectDirty(rows_max, [this](absl::Span<const uint8_t> record) {
      Key key;
      std::memcpy(&key, record.data(), sizeof(key));
      stored_[key].assign(record.begin(), record.end());
    });
  }
  void Flush() {
    Collect();
    table_->FlushSettled(/*stored=*/true);
  }
  // As the shard does it; returns the keys that had to be fetched.
  std::set<Key> Fetch(const std::vector<Key>& keys) {
    std::vector<Key> missing;
    std::set<Key> cold;
    table_->Pin(keys, missing);
    for (const Key key : missing) {
      if (!table_->IsCold(key)) continue;
      EXPECT_TRUE(table_->FetchBack(stored_.at(key)).ok());
      cold.insert(key);
    }
    return cold;
  }
  std::set<Key> Resident() const {
    std::set<Key> keys;
    for (const auto& [key, record] : Hot()) keys.insert(key);
    return keys;
  }
  std::map<Key, std::vector<uint8_t>> Hot() const {
    std::map<Key, std::vector<uint8_t>> rows;
    table_->ForEachRow([&rows](absl::Span<const uint8_t> record) {
      Key key;
      std::memcpy(&key, record.data(), sizeof(key));
      rows[key].assign(record.begin(), record.end());
    });
    return rows;
  }
  size_t EvictAll() { return table_->Evict(0, 1000) + table_->Evict(0, 1000); }

  std::optional<TableShard> table_{std::in_place, Config(), ShardId{0}};
  std::map<Key, std::vector<uint8_t>> stored_;
};

TEST_F(EvictTest, OnlyRowsThatTheStoreHasAsTheyAre) {
  Apply(*table_, Ones({1, 2, 3}), 1);
  EXPECT_EQ(EvictAll(), 0u);  // dirty
  Collect();
  EXPECT_EQ(EvictAll(), 0u);  // in flush
  Apply(*table_, Ones({1}), 2);
  table_->FlushSettled(/*stored=*/true);
  EXPECT_EQ(EvictAll(), 2u);
  EXPECT_THAT(Resident(), ElementsAre(1));  // dirty again since
  Flush();
  EXPECT_EQ(EvictAll(), 1u);
}

TEST_F(EvictTest, RowsOfAFailedFlushStay) {
  Apply(*table_, Ones({1, 2}), 1);
  Collect();
  table_->FlushSettled(/*stored=*/false);
  EXPECT_EQ(EvictAll(), 0u);
}

TEST_F(EvictTest, RowsThatWereUsedGetASecondChance) {
  std::vector<Key> keys;
  for (Key key = 0; key < 100; ++key) keys.push_back(key);
  Apply(*table_, Ones(keys), 1);
  Flush();
  EXPECT_THAT(Fetch({4, 7, 50}), IsEmpty());
  EXPECT_EQ(table_->Evict(3 * table_->layout().stride(), 1000), 97u);
  EXPECT_THAT(Resident(), ElementsAre(4, 7, 50));
  EXPECT_EQ(table_->Evict(0, 1000), 3u);  // and no third
}

// One that is used again and again stays when as many others as there is room
// for come by, are used once and go.
TEST_F(EvictTest, RowsThatWereUsedOftenOutliveThoseThatWereUsedOnce) {
  std::vector<Key> keys;
  for (Key key = 0; key < 100; ++key) keys.push_back(key);
  Apply(*table_, Ones(keys), 1);
  Flush();
  const uint64_t room = 3 * table_->layout().stride();
  for (int use = 0; use < 3; ++use) EXPECT_THAT(Fetch({50}), IsEmpty());
  table_->Evict(room, 1000);
  for (Key key = 0; key < 6; ++key) {
    Fetch({key});
    table_->Evict(room, 1000);
  }
  EXPECT_TRUE(Resident().contains(50));
}

TEST_F(EvictTest, AskingAgainWhenTheRestHasComeIsNoSecondUse) {
  Apply(*table_, Ones({1, 2}), 1);
  Flush();
  std::vector<Key> missing;
  table_->Pin(std::vector<Key>{1}, missing, TableShard::Look::kAgain);
  table_->Pin(std::vector<Key>{2}, missing);
  EXPECT_EQ(table_->Evict(table_->layout().stride(), 1), 1u);
  EXPECT_THAT(Resident(), ElementsAre(2));
}

TEST_F(EvictTest, PinnedRowsStayUntilTheyAreReleased) {
  Apply(*table_, Ones({1, 2, 3}), 1);
  Flush();
  std::vector<Key> cold;
  RowPins first = table_->Pin(std::vector<Key>{2, 2}, cold);
  RowPins second = table_->Pin(std::vector<Key>{2, 3}, cold);
  EXPECT_THAT(cold, IsEmpty());
  EXPECT_EQ(EvictAll(), 1u);
  second = RowPins();
  EXPECT_EQ(EvictAll(), 1u);
  EXPECT_THAT(Resident(), ElementsAre(2));
  first.Release();
  EXPECT_EQ(EvictAll(), 1u);
}

TEST_F(EvictTest, EvictedRowsCountAndComeBackAsTheyWere) {
  Apply(*table_, Ones({1, 2, 3}), 1);
  Apply(*table_, Ones({2}), 2);
  Flush();
  const auto before = Hot();
  const uint64_t checksum = table_->Checksum();
  EXPECT_EQ(EvictAll(), 3u);
  EXPECT_EQ(table_->rows(), 3u);
  EXPECT_EQ(table_->resident_rows(), 0u);
  EXPECT_EQ(table_->Checksum(), checksum);
  EXPECT_EQ(table_->rolling_checksum(), checksum);
  EXPECT_THAT(table_->Keys(2, 10), ElementsAre(2, 3));
  EXPECT_THAT(Fetch({9, 3, 1, 2}), UnorderedElementsAre(1, 2, 3));
  EXPECT_EQ(Hot(), before);
  EXPECT_EQ(table_->Checksum(), checksum);
  EXPECT_EQ(table_->dirty_rows(), 0u);
  // A second answer of the store, older by now, changes nothing.
  Apply(*table_, Ones({2}), 3);
  EXPECT_TRUE(table_->FetchBack(stored_.at(2)).ok());
  EXPECT_EQ(table_->Checksum(), table_->rolling_checksum());
  EXPECT_EQ(HeaderOf(table_->Find(2)).lsn, 3u);
}

TEST_F(EvictTest, ADamagedRecordIsRefusedAndTheRowStaysCold) {
  Apply(*table_, Ones({1}), 1);
  Flush();
  EvictAll();
  std::vector<uint8_t> record = stored_.at(1);
  record.pop_back();
  EXPECT_EQ(table_->FetchBack(record).code(), absl::StatusCode::kDataLoss);
  record = stored_.at(1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(record.data() + 36, &nan, sizeof(nan));
  EXPECT_EQ(table_->FetchBack(record).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(table_->IsCold(1));
  EXPECT_TRUE(table_->FetchBack(stored_.at(1)).ok());
  EXPECT_FALSE(table_->IsCold(1));
}

TEST_F(EvictTest, RowsThatAreEvictedCountAgainstTheLimitOfRows) {
  TableShard small(Config(), 0, /*rows_max=*/3);
  Apply(small, Ones({1, 2, 3}), 1);
  small.BeginSweep();
  small.CollectDirty(10, [](absl::Span<const uint8_t>) {});
  small.FlushSettled(true);
  EXPECT_EQ(small.Evict(0, 10), 3u);
  EXPECT_TRUE(small.CheckRoom(std::vector<Key>{1, 2, 3}).ok());
  EXPECT_EQ(small.CheckRoom(std::vector<Key>{4}).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Apply(small, Ones({4}), 2).rows_skipped, 1u);
}

// The same pushes to a table that keeps everything and to one that keeps a
// tenth: the same bits, whatever was evicted, flushed or failed to be.
TEST_F(EvictTest, ABudgetChangesNoBit) {
  for (const char* rule : {"sgd", "adagrad", "adam", "ftrl"}) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      SCOPED_TRACE(std::string(rule) + " seed " + std::to_string(seed));
      BitGen gen(seed);
      table_.emplace(Config(rule), ShardId{0});
      stored_.clear();
      TableShard whole(Config(rule), 0);
      for (Lsn lsn = 1; lsn <= 100; ++lsn) {
        TestPush push;
        for (size_t i = gen.Below(60); i > 0; --i) {
          push.keys.push_back(Mix64(gen.Below(gen.Below(2) == 0 ? 30 : 600)));
          push.rows.emplace_back();
          for (int j = 0; j < 3; ++j) {
            push.rows.back().push_back(static_cast<float>(gen.Uniform() - 0.5));
          }
        }
        Fetch(push.keys);
        const ApplyResult result = Apply(*table_, push, lsn);
        const ApplyResult expected = Apply(whole, push, lsn);
        ASSERT_EQ(result.rows_created, expected.rows_created);
        ASSERT_EQ(result.rows_skipped, expected.rows_skipped);
        // What is asked must be in memory, nothing else.
        Fetch(push.keys);
        ASSERT_EQ(Pull(*table_, push.keys), Pull(whole, push.keys));
        if (gen.Below(2) == 0) Collect(gen.Below(100));
        table_->Evict(60 * table_->layout().stride(), gen.Below(80));
        if (gen.Below(3) == 0) table_->FlushSettled(gen.Below(4) != 0);
        ASSERT_EQ(table_->rows(), whole.rows());
        ASSERT_EQ(table_->rolling_checksum(), whole.rolling_checksum());
      }
      EXPECT_LT(table_->resident_rows(), table_->rows());
      EXPECT_EQ(table_->Checksum(), whole.Checksum());
      Fetch(whole.Keys(0, 10'000));
      EXPECT_EQ(Hot(), Records(whole));
    }
  }
}

}  // namespace
}  // namespace paramo
