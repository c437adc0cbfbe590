// Torn writes and flipped bits, at every byte: rule 4.1.
#include "tests/unit/server/log/log_test_util.h"

namespace paramo {
namespace {

using testing::HasSubstr;

// Three batches of two shards in one segment, the first two synced:
//
//   | segment | batch: a1 | batch: b1 (synced) | batch: a2 | batch: b2 |
//                                durable here ^
class LogDamageTest : public LogTest {
 protected:
  void SetUp() override {
    log_ = Start();
    Batch(a_, Durability::kWritten);
    Batch(b_, Durability::kSynced);
    Batch(a_, Durability::kWritten);
    Batch(b_, Durability::kWritten);
    name_ = disk_.Names()[0];
    bytes_ = disk_.Bytes(name_);
    ASSERT_EQ(ends_.back(), bytes_.size());
  }

  void Batch(ShardEnd& shard, Durability level) {
    AppendAlone(*log_, shard, 20, level);
    ends_.push_back(log_->Stats().position);
  }

  // The segment with `bytes`, as a kernel `boot` finds it.
  std::unique_ptr<LogRecovery> RecoverFrom(const std::string& bytes,
                                           const std::string& boot) {
    MemoryDisk disk;
    disk.Put(name_, bytes);
    auto recovery = Recover(disk, boot);
    EXPECT_TRUE(recovery.ok()) << recovery.status();
    return recovery.ok() ? *std::move(recovery) : nullptr;
  }

  // Only whole records, each as it was appended, dense from the first.
  static void ExpectPrefix(const LogShardRecords& records, ShardId shard) {
    for (size_t i = 0; i < records.size(); ++i) {
      const LogRecord record = records[i];
      EXPECT_EQ(record.header.lsn, i + 1);
      EXPECT_EQ(std::string(record.payload.begin(), record.payload.end()),
                ShardEnd::PayloadOf(shard, i + 1, 20));
    }
  }

  ShardEnd a_{0};
  ShardEnd b_{1};
  std::unique_ptr<Log> log_;
  std::string name_;
  std::string bytes_;
  std::vector<uint64_t> ends_;  // of the batches
};

TEST_F(LogDamageTest, ATornLastWriteIsCutAtEveryByte) {
  for (const char* boot : {"boot-1", "boot-2"}) {
    for (size_t size = ends_[2]; size < ends_[3]; ++size) {
      auto recovery = RecoverFrom(bytes_.substr(0, size), boot);
      EXPECT_TRUE(recovery->corruptions().empty());
      EXPECT_EQ(LsnsOf(recovery->Shard(0)), Range(1, 2));
      EXPECT_EQ(LsnsOf(recovery->Shard(1)), Range(1, 1)) << size;
      EXPECT_TRUE(recovery->DamageOf(1).ok());
      EXPECT_LE(recovery->position(), size);
    }
  }
}

TEST_F(LogDamageTest, WholeRecordsOfATornBatchAreKeptAndTheLogGoesOn) {
  disk_.Hold();
  ASSERT_TRUE(a_.Append(*log_, 20).ok());
  disk_.WaitForHeld();  // so that those behind it are a batch of their own
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(b_.Append(*log_, 20).ok());
  disk_.Go();
  ASSERT_TRUE(listener_->WaitWritten(1, 5));
  const std::string bytes = disk_.Bytes(name_);
  for (size_t lost = 1; lost < 3 * 68; ++lost) {
    MemoryDisk disk;
    disk.Put(name_, bytes.substr(0, bytes.size() - lost));
    const Lsn last = 5 - (lost + 67) / 68;
    Listener listener;
    for (int round = 0; round < 3; ++round) {
      auto log = *Log::Open(Options(disk));
      auto recovery = log->TakeRecovery();
      EXPECT_TRUE(recovery->corruptions().empty())
          << recovery->corruptions()[0];
      EXPECT_EQ(recovery->Shard(1).last_lsn, last + round);
      ShardEnd shard(1);
      shard.Resume(*recovery);
      log->Start(listener);
      ASSERT_TRUE(shard.Append(*log, 20).ok());
      ASSERT_TRUE(log->Stop().ok());
    }
  }
}

TEST_F(LogDamageTest, AFileThatEndsBelowTheDurableOffsetIsCorrupt) {
  // The last batch, read first, says how far the sync went.
  for (size_t i = ends_[0]; i < ends_[1]; ++i) {
    std::string bytes = bytes_;
    bytes[i] = static_cast<char>(bytes[i] ^ 1);
    auto recovery = RecoverFrom(bytes, "boot-2");
    EXPECT_FALSE(recovery->corruptions().empty());
    EXPECT_FALSE(recovery->DamageOf(1).ok()) << "byte " << i;
    EXPECT_TRUE(recovery->DamageOf(0).ok()) << "byte " << i;
    EXPECT_EQ(LsnsOf(recovery->Shard(0)), Range(1, 2));
  }
}

TEST_F(LogDamageTest, EveryFlippedBitIsFoundUnderTheSameKernel) {
  for (size_t byte = 0; byte < bytes_.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = bytes_;
      bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << bit));
      auto recovery = RecoverFrom(bytes, "boot-1");
      ASSERT_FALSE(recovery->corruptions().empty()) << byte << ":" << bit;
      EXPECT_EQ(recovery->cut(), "");
      for (ShardId shard : {0, 1}) {
        const LogShardRecords& records = recovery->Shard(shard);
        ExpectPrefix(records, shard);
        // Nothing is missing without the shard being told; and a's may be
        // what was in the last batch.
        const bool behind_all = shard == 0 && byte >= ends_[2];
        EXPECT_EQ(!recovery->DamageOf(shard).ok(),
                  records.size() < 2 || behind_all)
            << byte << ":" << bit;
      }
    }
  }
}

TEST_F(LogDamageTest, AFlippedBitIsCutAboveTheDurableOffsetOfAnotherKernel) {
  for (size_t byte = 0; byte < bytes_.size(); ++byte) {
    std::string bytes = bytes_;
    bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << byte % 8));
    auto recovery = RecoverFrom(bytes, "boot-2");
    ExpectPrefix(recovery->Shard(0), 0);
    ExpectPrefix(recovery->Shard(1), 1);
    if (byte < sizeof(SegmentHeader)) {  // found, and nothing is lost
      EXPECT_FALSE(recovery->corruptions().empty());
      EXPECT_EQ(recovery->Shard(0).size() + recovery->Shard(1).size(), 4u);
    } else if (byte < ends_[1]) {  // durable: who was there is damaged
      EXPECT_FALSE(recovery->corruptions().empty());
      EXPECT_EQ(recovery->DamageOf(0).ok(), byte >= ends_[0]);
      EXPECT_EQ(recovery->DamageOf(1).ok(), byte < ends_[0]);
    } else {  // cut, with all that is behind it
      EXPECT_TRUE(recovery->corruptions().empty());
      EXPECT_NE(recovery->cut(), "");
      EXPECT_TRUE(recovery->DamageOf(0).ok());
      EXPECT_TRUE(recovery->DamageOf(1).ok());
      EXPECT_EQ(recovery->Shard(0).size(), byte < ends_[2] ? 1u : 2u);
      EXPECT_EQ(recovery->Shard(1).size(), 1u);
    }
  }
}

TEST_F(LogDamageTest, AFlipInTheLastBatchOfAnOrderlyStopIsCorrupt) {
  ASSERT_TRUE(log_->Stop().ok());
  std::string bytes = disk_.Bytes(name_);
  bytes[ends_[3] - 1] = static_cast<char>(bytes[ends_[3] - 1] ^ 1);
  auto recovery = RecoverFrom(bytes, "boot-2");
  EXPECT_FALSE(recovery->DamageOf(1).ok());
}

TEST_F(LogDamageTest, AShardIsDamagedUnlessItGoesOnBehindTheBadPlace) {
  // a1 is bad; b goes on behind it, c has its only record before it.
  ShardEnd c(2);
  Batch(c, Durability::kWritten);
  Batch(a_, Durability::kWritten);
  Batch(b_, Durability::kWritten);
  std::string bytes = disk_.Bytes(name_);
  bytes[ends_[5] - 1] = static_cast<char>(bytes[ends_[5] - 1] ^ 1);  // a3
  auto recovery = RecoverFrom(bytes, "boot-1");
  EXPECT_FALSE(recovery->DamageOf(0).ok());
  EXPECT_EQ(LsnsOf(recovery->Shard(0)), Range(1, 2));
  EXPECT_TRUE(recovery->DamageOf(1).ok());
  EXPECT_EQ(LsnsOf(recovery->Shard(1)), Range(1, 3));
  EXPECT_THAT(recovery->DamageOf(2).message(),
              HasSubstr("records behind lsn 1 may be lost"));
  EXPECT_FALSE(recovery->DamageOf(9).ok());
}

TEST_F(LogDamageTest, ADamagedShardGoesOnWithARestart) {
  disk_.Flip(name_, ends_[2] - 1, 0);  // a2
  log_.reset();
  auto log = Start();
  ASSERT_FALSE(recovery_->DamageOf(0).ok());
  ShardEnd a(0);
  a.Resume(*recovery_);
  EXPECT_EQ(a.Append(*log, 20).code(), absl::StatusCode::kInternal);
  ASSERT_TRUE(a.Mark(*log, RecordKind::kRestart, 50, 0xabcd).ok());
  ASSERT_TRUE(a.Append(*log, 20).ok());
  ASSERT_TRUE(log->Stop().ok());
  EXPECT_THAT(LsnsOf(*log->Read(0, 51, 1000)), testing::ElementsAre(51));
  EXPECT_EQ(log->Read(0, 1, 1000).status().code(),
            absl::StatusCode::kOutOfRange);

  auto recovery = *Recover(disk_, "boot-2");
  EXPECT_FALSE(recovery->corruptions().empty());  // it is still there
  EXPECT_TRUE(recovery->DamageOf(0).ok());
  EXPECT_THAT(LsnsOf(recovery->Shard(0)), testing::ElementsAre(51));
}

TEST_F(LogDamageTest, ABadSegmentStaysUntilTheDamagedShardHasRestarted) {
  disk_.Flip(name_, ends_[2] - 1, 0);  // a2
  log_.reset();
  LogOptions options = Options(disk_);
  options.segment_bytes = kLogSegmentBytesMin;
  auto log = Start(options);
  ASSERT_FALSE(recovery_->DamageOf(0).ok());
  b_.Resume(*recovery_);
  log->Release(0, 100);
  log->Release(1, 2);
  AppendAlone(*log, b_, 5000);
  AppendAlone(*log, b_, 5000);  // the writer has looked by now
  EXPECT_THAT(disk_.Names(), testing::Contains(name_));

  ASSERT_TRUE(a_.Mark(*log, RecordKind::kRestart, 50, 0xabcd).ok());
  log->Release(1, 3);
  ASSERT_TRUE(log->Stop().ok());
  EXPECT_THAT(disk_.Names(), testing::Not(testing::Contains(name_)));
}

TEST_F(LogDamageTest, AForgedLengthReadsNothingOutside) {
  // A record that checks out as such, in a batch that says it is shorter.
  BatchHeader header;
  const size_t at = ends_[2];
  std::memcpy(&header, bytes_.data() + at, sizeof(header));
  for (uint32_t bytes : {0u, 1u, 47u, 67u, 69u, 1u << 30, ~0u}) {
    header.bytes = bytes;
    Seal(header);
    std::string forged = bytes_;
    std::memcpy(forged.data() + at, &header, sizeof(header));
    for (const char* boot : {"boot-1", "boot-2"}) {
      auto recovery = RecoverFrom(forged, boot);
      ASSERT_NE(recovery, nullptr);
      ExpectPrefix(recovery->Shard(1), 1);
    }
  }
}

}  // namespace
}  // namespace paramo
