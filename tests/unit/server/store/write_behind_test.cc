#include "server/store/write_behind.h"

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "common/clock/clock.h"
#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

// A shard in memory: rows by key, and which of them the store does not have.
class MemoryShard final : public FlushSource {
 public:
  static constexpr uint64_t kLogBytes = 100;  // of a write

  MemoryShard(TableId table, ShardId shard) : table_(table), shard_(shard) {}

  void Write(Key key, Lsn lsn) {
    MutexLock lock(mu_);
    rows_[key] = MakeRecord(key, lsn);
    dirty_[key] = lsn;
    log_bytes_ += kLogBytes;
  }

  void Collect(size_t rows_max, std::function<void(ShardFlush)> done) override {
    if (turns_ != nullptr) turns_->push_back(shard_);
    ShardFlush flush;
    {
      MutexLock lock(mu_);
      ++collects_;
      ++unsettled_;
      flush.shard = shard_;
      Sweep(rows_max, flush);
    }
    if (!answer_on_thread_) return done(std::move(flush));
    std::thread([flush = std::move(flush), done = std::move(done)]() mutable {
      done(std::move(flush));
    }).detach();
  }

  void Flushed(const ShardFlush& flush, const absl::Status& status) override {
    MutexLock lock(mu_);
    --unsettled_;
    if (!status.ok()) {
      ++failures_;
      sweep_.clear();
      state_.clear();
      return;
    }
    for (const RowRecord& row : flush.rows) {
      auto it = dirty_.find(row.key);
      // Only exactly this lsn is clean now.
      if (it != dirty_.end() && it->second == flush.RecordLsn(row)) {
        dirty_.erase(it);
      }
    }
    if (dirty_.empty()) log_bytes_ = 0;
  }

  size_t DirtyRows() const override {
    MutexLock lock(mu_);
    return dirty_.size();
  }

  uint64_t UnstoredLogBytes() const override {
    MutexLock lock(mu_);
    return log_bytes_;
  }

  std::map<Key, std::string> rows() const {
    MutexLock lock(mu_);
    return rows_;
  }
  int collects() const {
    MutexLock lock(mu_);
    return collects_;
  }
  int failures() const {
    MutexLock lock(mu_);
    return failures_;
  }
  int unsettled() const {
    MutexLock lock(mu_);
    return unsettled_;
  }
  void RecordTurns(std::vector<ShardId>* turns) { turns_ = turns; }
  void AnswerOnAnotherThread() { answer_on_thread_ = true; }

 private:
  void Sweep(size_t rows_max, ShardFlush& flush)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (state_.empty() && !dirty_.empty()) {
      EXPECT_EQ(unsettled_, 1);  // invariant 2
      for (const auto& entry : dirty_) sweep_.push_back(entry.first);
      state_ = absl::StrCat("rows ", rows_.size());
    }
    while (flush.rows.size() < rows_max && !sweep_.empty()) {
      flush.AddRow(table_, rows_[sweep_.back()]);
      sweep_.pop_back();
    }
    if (sweep_.empty()) flush.state = std::exchange(state_, "");
  }

  const TableId table_;
  const ShardId shard_;
  bool answer_on_thread_ = false;
  std::vector<ShardId>* turns_ = nullptr;
  mutable Mutex mu_;
  std::map<Key, std::string> rows_ ABSL_GUARDED_BY(mu_);
  std::map<Key, Lsn> dirty_ ABSL_GUARDED_BY(mu_);
  uint64_t log_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Key> sweep_ ABSL_GUARDED_BY(mu_);  // still to be given
  std::string state_ ABSL_GUARDED_BY(mu_);       // of the sweep under way
  int unsettled_ ABSL_GUARDED_BY(mu_) = 0;       // given, outcome not known
  int collects_ ABSL_GUARDED_BY(mu_) = 0;
  int failures_ ABSL_GUARDED_BY(mu_) = 0;
};

class WriteBehindTest : public ::testing::Test {
 protected:
  void MakeShards(size_t count) {
    for (ShardId shard = 0; shard < count; ++shard) {
      shards_.push_back(std::make_unique<MemoryShard>(1, shard));
    }
  }
  std::unique_ptr<WriteBehind> Start(RowStore& store, const Clock& clock,
                                     const WriteBehindOptions& options = {}) {
    auto behind = std::make_unique<WriteBehind>(store, clock, options);
    for (auto& shard : shards_) behind->Add(shard.get());
    return behind;
  }
  void ExpectStored(const RowStore& store) {
    for (ShardId shard = 0; shard < shards_.size(); ++shard) {
      EXPECT_EQ(ReadShard(store, 1, shard), shards_[shard]->rows());
    }
  }

  TempDir dir_;
  FakeClock clock_;
  std::vector<std::unique_ptr<MemoryShard>> shards_;
};

TEST_F(WriteBehindTest, FlushAllStoresEveryRowAndState) {
  MakeShards(20);
  shards_[3]->AnswerOnAnotherThread();
  for (auto& shard : shards_) {
    for (Key key = 0; key < 300; ++key) shard->Write(key, key + 1);
  }
  {
    auto store = MustOpen(dir_.path());
    WriteBehindOptions options;
    options.rows_per_collect = 100;  // each is asked three times
    auto behind = Start(*store, clock_, options);
    const absl::Status status = behind->FlushAll(kPatience);
    EXPECT_TRUE(status.ok()) << ToString(status);
    EXPECT_EQ(behind->Stats().dirty_rows, 0u);
    EXPECT_EQ(behind->Stats().rows, 20u * 300);
    // Twenty shards share an ingest.
    EXPECT_EQ(store->Stats().ingests, 1u);
    behind->Stop();
  }
  auto store = MustOpen(dir_.path());
  ExpectStored(*store);
  EXPECT_EQ(*store->LoadState(7), std::optional<std::string>("rows 300"));
}

TEST_F(WriteBehindTest, MuchLogToReplayStartsARound) {
  MakeShards(2);
  auto store = MustOpen(dir_.path());
  WriteBehindOptions options;
  options.log_bytes_high = 10 * MemoryShard::kLogBytes;
  auto behind = Start(*store, clock_, options);  // its clock stands still
  // The same row again and again.
  for (Lsn lsn = 1; lsn <= 9; ++lsn) shards_[lsn % 2]->Write(0, lsn);
  behind->Wake();
  EXPECT_EQ(behind->Stats().rounds, 0u);
  shards_[0]->Write(0, 10);
  behind->Wake();
  EXPECT_TRUE(WaitUntil([&] { return behind->Stats().dirty_rows == 0; }));
  behind->Stop();
  ExpectStored(*store);
}

TEST_F(WriteBehindTest, OldDirtyRowsStartARound) {
  MakeShards(2);
  auto store = MustOpen(dir_.path());
  WriteBehindOptions options;
  options.interval = absl::Seconds(2);
  auto behind = Start(*store, clock_, options);
  shards_[1]->Write(5, 1);
  clock_.Advance(absl::Milliseconds(1999));
  behind->Wake();
  EXPECT_EQ(behind->Stats().rounds, 0u);
  clock_.Advance(absl::Milliseconds(2));
  behind->Wake();
  EXPECT_TRUE(WaitUntil([&] { return behind->Stats().rows == 1; }));
  EXPECT_EQ(shards_[0]->collects(), 0);  // a clean shard is left alone
}

TEST_F(WriteBehindTest, RowsChangedMeanwhileStayDirtyUntilStored) {
  MakeShards(4);
  auto store = MustOpen(dir_.path());
  WriteBehindOptions options;
  options.log_bytes_high = 1;  // rounds run all the time
  auto behind = Start(*store, clock_, options);
  for (Lsn lsn = 1; lsn <= 2000; ++lsn) {
    for (auto& shard : shards_) shard->Write(lsn % 50, lsn);
  }
  EXPECT_TRUE(behind->FlushAll(kPatience).ok());
  behind->Stop();
  ExpectStored(*store);
}

TEST_F(WriteBehindTest, NoShardIsStarvedWhenARoundIsFull) {
  MakeShards(24);
  auto store = MustOpen(dir_.path());
  WriteBehindOptions options;
  options.rows_per_collect = 1;
  options.bytes_per_ingest = 1;  // a round ends after one row
  std::vector<ShardId> turns;    // appended to by the write-behind thread alone
  for (auto& shard : shards_) {
    for (Key key = 0; key < 3; ++key) shard->Write(key, 1);
    shard->RecordTurns(&turns);
  }
  auto behind = Start(*store, clock_, options);
  EXPECT_TRUE(behind->FlushAll(kPatience).ok());
  behind->Stop();
  // Invariant 1: each gives all its rows, then the next one does.
  std::vector<ShardId> expected;
  for (ShardId shard = 0; shard < 24; ++shard) {
    expected.insert(expected.end(), 3, shard);
  }
  EXPECT_EQ(turns, expected);
  ExpectStored(*store);
}

// What changes while it is swept waits until the others were swept.
TEST_F(WriteBehindTest, ABusyShardHoldsUpNoOther) {
  MakeShards(3);
  auto store = MustOpen(dir_.path());
  WriteBehindOptions options;
  options.rows_per_collect = 1;
  options.bytes_per_ingest = 1;
  Lsn lsn = 1;
  // Before every round shard 0 has another new row.
  options.before_ingest = [&] {
    if (lsn < 100) shards_[0]->Write(lsn + 1, lsn + 1);
    ++lsn;
    return absl::OkStatus();
  };
  std::vector<ShardId> turns;
  for (auto& shard : shards_) {
    for (Key key = 0; key < 2; ++key) shard->Write(key, 1);
    shard->RecordTurns(&turns);
  }
  auto behind = Start(*store, clock_, options);
  EXPECT_TRUE(behind->FlushAll(kPatience).ok());
  behind->Stop();
  ASSERT_GE(turns.size(), 7u);
  turns.resize(7);
  EXPECT_EQ(turns, (std::vector<ShardId>{0, 0, 1, 1, 2, 2, 0}));
  ExpectStored(*store);
}

TEST_F(WriteBehindTest, RemovedSourceIsNotAskedAgain) {
  MakeShards(2);
  auto store = MustOpen(dir_.path());
  auto behind = Start(*store, clock_);
  behind->Remove(shards_[0].get());
  for (auto& shard : shards_) shard->Write(1, 1);
  EXPECT_TRUE(behind->FlushAll(kPatience).ok());
  EXPECT_EQ(shards_[0]->collects(), 0);
  EXPECT_EQ(shards_[1]->DirtyRows(), 0u);
}

TEST_F(WriteBehindTest, FailedIngestIsTriedAgainAndLosesNothing) {
  RowStoreOptions store_options;
  store_options.l0_files_max = 0;  // refuses every ingest
  store_options.l0_wait_max = absl::ZeroDuration();
  MakeShards(3);
  for (auto& shard : shards_) shard->Write(1, 1);
  {
    auto store = MustOpen(dir_.path(), store_options);
    WriteBehindOptions options;
    options.backoff_min = absl::Milliseconds(1);
    options.backoff_max = absl::Milliseconds(4);
    const SteadyClock clock;
    auto behind = Start(*store, clock, options);
    EXPECT_EQ(behind->FlushAll(absl::ZeroDuration()).code(),
              absl::StatusCode::kDeadlineExceeded);
    EXPECT_TRUE(WaitUntil([&] {
      // A deadline keeps nobody waiting; the trying goes on by itself once it
      // has begun.
      (void)behind->FlushAll(absl::Milliseconds(1));
      return behind->Stats().failures >= 5;
    }));
    const absl::Status status = behind->FlushAll(absl::ZeroDuration());
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("3 rows are still not in the store"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("level-0"));
    behind->Stop();
    EXPECT_GE(shards_[0]->failures(), 5);
    EXPECT_EQ(shards_[0]->unsettled(), 0);
    EXPECT_EQ(shards_[0]->DirtyRows(), 1u);
    EXPECT_EQ(ReadShard(*store, 1, 0).size(), 0u);
  }
  auto store = MustOpen(dir_.path());
  auto behind = Start(*store, clock_);
  EXPECT_TRUE(behind->FlushAll(kPatience).ok());
  behind->Stop();
  ExpectStored(*store);
}

TEST_F(WriteBehindTest, FullDiskLosesNoRowsAndIsRecoveredFrom) {
  SmallDisk disk(dir_.path());
  if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs needs root";
  MakeShards(2);
  auto store = MustOpen(dir_.path());
  WriteBehindOptions options;
  options.backoff_min = absl::Milliseconds(1);
  options.backoff_max = absl::Milliseconds(20);
  const SteadyClock clock;
  auto behind = Start(*store, clock, options);
  shards_[0]->Write(7, 1);
  ASSERT_TRUE(behind->FlushAll(kPatience).ok());

  // With no room at all the file cannot be begun, with some it is cut off.
  Lsn lsn = 1;
  for (size_t free_bytes : {size_t{0}, size_t{4096}, size_t{300} << 10}) {
    disk.Fill(free_bytes);
    ++lsn;
    for (auto& shard : shards_) {
      for (Key key = 0; key < 4000; ++key) shard->Write(key, lsn);
    }
    const uint64_t failures = behind->Stats().failures;
    EXPECT_TRUE(WaitUntil([&] {
      (void)behind->FlushAll(absl::Milliseconds(1));
      return behind->Stats().failures > failures + 1;
    }));
    EXPECT_EQ(behind->Stats().dirty_rows, 8000u);
    EXPECT_EQ(behind->Stats().last_error.code(),
              absl::StatusCode::kResourceExhausted)
        << ToString(behind->Stats().last_error);
    // What is stored can be read all the while.
    EXPECT_FALSE(ReadShard(*store, 1, 0).empty());

    std::filesystem::remove(disk.ballast());
    const absl::Status status = behind->FlushAll(kPatience);
    EXPECT_TRUE(status.ok()) << ToString(status);
    ExpectStored(*store);
  }
  behind->Stop();
  behind.reset();
  store.reset();
  ExpectStored(*MustOpen(dir_.path()));
}

}  // namespace
}  // namespace paramo
