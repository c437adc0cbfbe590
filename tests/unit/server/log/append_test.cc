// Appending, group commit, levels, limits, failures.
#include <thread>

#include "tests/unit/server/log/log_test_util.h"

namespace paramo {
namespace {

class LogAppendTest : public LogTest {};

TEST_F(LogAppendTest, WhatIsAppendedIsThereAfterAStop) {
  // Records below, at and across the size of a block, and across several.
  const size_t sizes[] = {0,
                          1,
                          100,
                          20'000,
                          kLogBlockBytes - 128,
                          kLogBlockBytes,
                          3 * kLogBlockBytes + 17};
  ShardEnd shards[] = {ShardEnd(0), ShardEnd(1), ShardEnd(2)};
  {
    auto log = Start();
    for (size_t size : sizes) {
      for (ShardEnd& shard : shards) {
        ASSERT_TRUE(shard.Append(*log, size).ok());
      }
    }
    ASSERT_TRUE(log->Stop().ok());
    EXPECT_EQ(listener_->synced(2), 7u);
  }
  auto recovery = *Recover(disk_, "boot-2");
  EXPECT_THAT(recovery->shards(), testing::ElementsAre(0, 1, 2));
  EXPECT_TRUE(recovery->corruptions().empty());
  for (ShardEnd& shard : shards) {
    const LogShardRecords& records = recovery->Shard(shard.shard());
    ASSERT_EQ(LsnsOf(records), Range(1, 7));
    EXPECT_EQ(records.last_crc, shard.crc);
    EXPECT_EQ(records.last_epoch, 1u);
    EXPECT_EQ(records.last_history, 7u);
    for (size_t i = 0; i < records.size(); ++i) {
      const LogRecord record = records[i];
      EXPECT_EQ(std::string(record.payload.begin(), record.payload.end()),
                ShardEnd::PayloadOf(shard.shard(), i + 1, sizes[i]));
    }
  }
}

TEST_F(LogAppendTest, WhatComesDuringAWriteIsOneBatch) {
  auto log = Start();
  ShardEnd shard(0);
  disk_.Hold();
  ASSERT_TRUE(shard.Append(*log).ok());
  // Taken by the writer, or taken together with those behind: at most two.
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(shard.Append(*log).ok());
  disk_.Go();
  ASSERT_TRUE(listener_->WaitWritten(0, 101));
  EXPECT_LE(log->Stats().batches, 2u);
  EXPECT_EQ(log->Stats().records, 101u);
}

TEST_F(LogAppendTest, SyncsOnlyWhenARecordAsks) {
  auto log = Start();
  ShardEnd a(0);
  ShardEnd b(1);
  AppendAlone(*log, a, 40, Durability::kMemory);
  AppendAlone(*log, a, 40, Durability::kWritten);
  EXPECT_EQ(log->Stats().syncs, 0u);
  EXPECT_EQ(listener_->synced(0), 0u);
  EXPECT_LT(log->Stats().durable, log->Stats().position);
  // Syncing one record makes all before it durable, and says so.
  AppendAlone(*log, b, 40, Durability::kSynced);
  EXPECT_TRUE(listener_->WaitSynced(0, 2));
  EXPECT_EQ(log->Stats().syncs, 1u);
  EXPECT_EQ(log->Stats().durable, log->Stats().position);
}

TEST_F(LogAppendTest, WritesGoOnWhileTheDiskSyncs) {
  auto log = Start();
  ShardEnd a(0);
  ShardEnd b(1);
  const size_t syncs = disk_.syncs();
  disk_.HoldSyncs();
  ASSERT_TRUE(a.Append(*log, 40, Durability::kSynced).ok());
  disk_.WaitForSync(syncs + 1);
  for (int i = 0; i < 3; ++i) AppendAlone(*log, b);
  ASSERT_TRUE(b.Append(*log, 40, Durability::kSynced).ok());
  ASSERT_TRUE(listener_->WaitWritten(1, 4));
  EXPECT_EQ(listener_->synced(0), 0u);
  disk_.Go();
  EXPECT_TRUE(listener_->WaitSynced(0, 1));
  EXPECT_TRUE(listener_->WaitSynced(1, 4));
  EXPECT_EQ(log->Stats().syncs, 2u);  // the second of all that came meanwhile
}

TEST_F(LogAppendTest, WhatIsSyncedBeforeItIsWrittenIsSyncedThen) {
  auto log = Start();
  ShardEnd shard(0);
  std::thread syncs([&] {
    for (int i = 0; i < 200; ++i) {
      // The writer has hardly woken when the sync is asked for.
      if (!shard.Append(*log).ok() || !log->SyncAppended().ok()) return;
    }
  });
  EXPECT_TRUE(listener_->WaitSynced(0, 200));
  if (HasFailure()) log->Stop().IgnoreError();
  syncs.join();
}

TEST_F(LogAppendTest, ASyncIsNotOfWhatTakesThePlaceOfWhatIsCut) {
  auto log = Start();
  ShardEnd shard(0);
  for (int i = 0; i < 4; ++i) AppendAlone(*log, shard);
  const size_t syncs = disk_.syncs();
  disk_.HoldSyncs();
  ASSERT_TRUE(shard.Append(*log, 40, Durability::kSynced).ok());
  disk_.WaitForSync(syncs + 1);
  ASSERT_TRUE(shard.Truncate(*log, 3, Durability::kWritten).ok());
  // Other records 4 and 5, and one more to see them written by.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(shard.Append(*log, 50).ok());
  ASSERT_TRUE(listener_->WaitWritten(0, 6));
  disk_.Go();
  ASSERT_TRUE(listener_->WaitSynced(0, 1));
  EXPECT_EQ(listener_->synced(0), 3u);
}

TEST_F(LogAppendTest, SaysWhenTheBufferIsFullAndTakesWhatComesAllTheSame) {
  LogOptions options = Options(disk_);
  options.buffer_bytes = 100'000;
  auto log = Start(options);
  ShardEnd shard(0);
  EXPECT_TRUE(log->HasRoom(90'000));
  EXPECT_FALSE(log->HasRoom(100'000));
  disk_.Hold();
  ASSERT_TRUE(shard.Append(*log, 60'000).ok());
  EXPECT_FALSE(log->HasRoom(60'000));
  EXPECT_TRUE(shard.Append(*log, 60'000).ok());
  EXPECT_FALSE(log->HasRoom(30'000));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(shard.Append(*log, 1000).ok());
  EXPECT_GT(log->Stats().buffered_bytes, options.buffer_bytes);
  disk_.Go();
  ASSERT_TRUE(listener_->WaitWritten(0, 102));
  EXPECT_TRUE(shard.Append(*log, 60'000).ok());
  ASSERT_TRUE(log->Stop().ok());
  EXPECT_EQ(log->Stats().buffered_bytes, 0u);
}

TEST_F(LogAppendTest, RefusesWhatIsNotTheNextRecord) {
  auto log = Start();
  ShardEnd shard(0);
  ASSERT_TRUE(shard.Append(*log).ok());
  ShardEnd ahead = shard;
  ++ahead.lsn;
  EXPECT_EQ(ahead.Append(*log).code(), absl::StatusCode::kInternal);
  ShardEnd forked = shard;
  ++forked.crc;
  EXPECT_EQ(forked.Append(*log).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(shard.Mark(*log, RecordKind::kTruncate, 2, 0).code(),
            absl::StatusCode::kInternal);
  shard = forked;
  --shard.crc;
  EXPECT_TRUE(shard.Append(*log).ok());
}

TEST_F(LogAppendTest, RefusesAPayloadAboveTheLimit) {
  auto log = Start();
  RecordHeader header;
  header.lsn = 1;
  header.length = kLogPayloadBytesMax + 1;
  EXPECT_EQ(log->Append(header, {}, Durability::kWritten).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(LogAppendTest, AFailedSyncEndsTheStreamAndIsNotTriedAgain) {
  auto log = Start();
  ShardEnd shard(0);
  AppendAlone(*log, shard, 40, Durability::kSynced);
  disk_.FailSyncs();
  const size_t syncs = disk_.syncs();
  ASSERT_TRUE(shard.Append(*log, 40, Durability::kSynced).ok());
  ASSERT_TRUE(listener_->WaitFailed());
  EXPECT_EQ(shard.Append(*log).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(log->Stop().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(disk_.syncs(), syncs + 1);
  EXPECT_EQ(listener_->synced(0), 1u);
  EXPECT_EQ(listener_->failures().size(), 1u);
}

TEST_F(LogAppendTest, ASyncThatFailsAmongWritesEndsTheStream) {
  auto log = Start();
  ShardEnd shard(0);
  const size_t syncs = disk_.syncs();
  disk_.HoldSyncs();
  ASSERT_TRUE(shard.Append(*log, 40, Durability::kSynced).ok());
  disk_.WaitForSync(syncs + 1);
  AppendAlone(*log, shard);
  disk_.FailSyncs();
  absl::Status waited;
  std::thread waiter([&] { waited = log->SyncAppended(); });
  disk_.Go();
  ASSERT_TRUE(listener_->WaitFailed());
  waiter.join();
  EXPECT_EQ(waited.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(shard.Append(*log).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(log->Stop().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(disk_.syncs(), syncs + 1);
  EXPECT_EQ(listener_->synced(0), 0u);
  EXPECT_EQ(listener_->failures().size(), 1u);
}

TEST_F(LogAppendTest, AFullDiskEndsTheStreamAndLosesNothingReported) {
  auto log = Start();
  ShardEnd shard(0);
  disk_.set_capacity(10'000);
  while (shard.Append(*log, 500).ok()) {
  }
  ASSERT_TRUE(listener_->WaitFailed());
  EXPECT_EQ(listener_->failures()[0].code(),
            absl::StatusCode::kResourceExhausted);
  const Lsn written = listener_->written(0);
  EXPECT_FALSE(log->Stop().ok());
  auto recovery = *Recover(disk_, "boot-1");
  EXPECT_TRUE(recovery->corruptions().empty());
  EXPECT_GE(recovery->Shard(0).last_lsn, written);
}

TEST_F(LogAppendTest, AFullDiskAtARollEndsTheStream) {
  LogOptions options = Options(disk_);
  options.segment_bytes = kLogSegmentBytesMin;
  auto log = Start(options);
  ShardEnd shard(0);
  AppendAlone(*log, shard, 5000);
  disk_.set_capacity(disk_.Bytes(disk_.Names()[0]).size());
  ASSERT_TRUE(shard.Append(*log).ok());
  ASSERT_TRUE(listener_->WaitFailed());
  // The half-made segment is nothing to a recovery.
  EXPECT_EQ(disk_.Names().size(), 2u);
  auto recovery = *Recover(disk_, "boot-1");
  EXPECT_EQ(recovery->Shard(0).last_lsn, 1u);
}

TEST_F(LogAppendTest, ManyThreadsAppendWhileOthersReadAndRelease) {
  LogOptions options = Options(disk_);
  options.segment_bytes = 64 << 10;
  auto log = Start(options);
  constexpr Lsn kRecords = 300;
  std::vector<std::thread> threads;
  for (ShardId id = 0; id < 3; ++id) {
    threads.emplace_back([&, id] {
      ShardEnd shard(id);
      for (Lsn i = 0; i < kRecords; ++i) {
        // Both ways of copying; some synced.
        const size_t size = i % 7 == 0 ? 40'000 : 100;
        const auto level =
            i % 5 == 0 ? Durability::kSynced : Durability::kWritten;
        if (!shard.Append(*log, size, level).ok()) std::abort();
        if (id == 0 && i % 50 == 49) log->Release(id, i - 20);
      }
    });
  }
  Lsn read = 0;
  while (read < kRecords) {  // shard 1, which is never released
    auto records = log->Read(1, read + 1, 50'000);
    ASSERT_TRUE(records.ok()) << records.status();
    for (const Record& record : *records) {
      ASSERT_EQ(record.header.lsn, ++read);
    }
    log->Stats();
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(log->Stop().ok());
  auto recovery = *Recover(disk_, "boot-2");
  for (ShardId id = 0; id < 3; ++id) {
    EXPECT_EQ(recovery->Shard(id).last_lsn, kRecords);
    EXPECT_TRUE(recovery->DamageOf(id).ok());
  }
}

}  // namespace
}  // namespace paramo
