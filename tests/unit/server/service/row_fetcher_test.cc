#include "server/service/row_fetcher.h"

#include <map>

#include "common/base/mutex.h"
#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

class RowFetcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    FlushBatch batch;
    for (ShardId shard = 0; shard < 3; ++shard) {
      batch.push_back(MakeFlush(/*table=*/1, shard, FirstKey(shard), 50, 5));
    }
    ASSERT_TRUE(store_->Ingest(batch).ok());
  }
  static Key FirstKey(ShardId shard) { return 1000 * shard; }

  // Keys of a shard, all but the first 50 of which it has not.
  void Ask(ShardId shard, size_t rows) {
    RowsAsked asked;
    asked.shard = shard;
    for (size_t i = 0; i < rows; ++i) {
      asked.keys[1].push_back(FirstKey(shard) + i);
    }
    fetcher_.Fetch(std::move(asked), [this, shard](FetchedRows fetched) {
      MutexLock lock(mu_);
      answers_[shard] = std::move(fetched);
    });
  }
  size_t answers() {
    MutexLock lock(mu_);
    return answers_.size();
  }

  TempDir dir_;
  std::unique_ptr<RowStore> store_ = MustOpen(dir_.path());
  Mutex mu_;
  std::map<ShardId, FetchedRows> answers_ ABSL_GUARDED_BY(mu_);
  RowFetcher fetcher_{*store_};
};

// They wait for the thread, which reads them together.
TEST_F(RowFetcherTest, EachShardGetsItsOwnRowsAndIsToldOfItsOwnLosses) {
  Ask(0, 50);
  Ask(1, 52);
  Ask(2, 3);
  fetcher_.Start(/*threads=*/1);
  ASSERT_TRUE(WaitUntil([this] { return answers() == 3; }));
  MutexLock lock(mu_);
  const size_t found[] = {50, 50, 3}, lost[] = {0, 2, 0};
  for (const auto& [shard, fetched] : answers_) {
    EXPECT_EQ(fetched.rows.shard, shard);
    ASSERT_EQ(fetched.rows.rows.size(), found[shard]);
    for (const RowRecord& row : fetched.rows.rows) {
      EXPECT_EQ(row.key / 1000, shard);
      EXPECT_EQ(fetched.rows.Record(row), MakeRecord(row.key, 5));
    }
    EXPECT_EQ(fetched.failed.size(), lost[shard]);
    for (const auto& [key, status] : fetched.failed) {
      EXPECT_EQ(key.second / 1000, shard);
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    }
  }
}

TEST_F(RowFetcherTest, WhatWaitsWhenItIsStoppedIsDropped) {
  Ask(0, 50);
  fetcher_.Stop();
  fetcher_.Start(/*threads=*/1);  // ends at once
  fetcher_.Stop();
  EXPECT_EQ(answers(), 0u);
}

}  // namespace
}  // namespace paramo
