// Reading one shard's records back: catch-up of a peer.
#include "tests/unit/server/log/log_test_util.h"

namespace paramo {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LogReadTest : public LogTest {
 protected:
  static absl::StatusCode CodeOf(
      const absl::StatusOr<std::vector<Record>>& read) {
    return read.status().code();
  }
};

TEST_F(LogReadTest, ReadsFromAnyLsnOnWithinABound) {
  auto log = Start();
  ShardEnd a(0);
  ShardEnd b(1);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(a.Append(*log, 20'000).ok());
    ASSERT_TRUE(b.Append(*log, 30'000).ok());
  }
  ASSERT_TRUE(listener_->WaitWritten(1, 50));
  for (Lsn from = 1; from <= 50; ++from) {
    auto records = log->Read(1, from, 100'000);
    ASSERT_TRUE(records.ok()) << records.status();
    ASSERT_EQ(LsnsOf(*records), Range(from, std::min<Lsn>(from + 2, 50)));
    EXPECT_EQ((*records)[0].payload.Flatten(),
              ShardEnd::PayloadOf(1, from, 30'000));
  }
  // At least one, however small the bound; none when it is the next.
  EXPECT_THAT(LsnsOf(*log->Read(0, 7, 1)), ElementsAre(7));
  EXPECT_THAT(*log->Read(0, 51, 1000), IsEmpty());
  EXPECT_EQ(CodeOf(log->Read(0, 52, 1000)), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(CodeOf(log->Read(0, 0, 1000)), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(*log->Read(8, 1, 1000), IsEmpty());
}

TEST_F(LogReadTest, ReadsAcrossSegmentsAndRestarts) {
  LogOptions options = Options(disk_);
  options.segment_bytes = kLogSegmentBytesMin;
  ShardEnd shard(0);
  for (int life = 0; life < 3; ++life) {
    auto log = Start(options);
    shard.Resume(*recovery_);
    for (int i = 0; i < 5; ++i) AppendAlone(*log, shard, 3000);
  }
  auto log = Start(options);
  EXPECT_GT(log->Stats().segments, 6u);
  EXPECT_EQ(LsnsOf(*log->Read(0, 1, kLogReadBytesMax)), Range(1, 15));
  EXPECT_EQ(LsnsOf(*log->Read(0, 8, kLogReadBytesMax)), Range(8, 15));
}

TEST_F(LogReadTest, IsOutOfRangeWhenItWasCutAway) {
  LogOptions options = Options(disk_);
  options.segment_bytes = kLogSegmentBytesMin;
  auto log = Start(options);
  ShardEnd shard(0);
  for (int i = 0; i < 5; ++i) AppendAlone(*log, shard, 5000);
  log->Release(0, 3);
  ASSERT_TRUE(log->Stop().ok());
  EXPECT_EQ(CodeOf(log->Read(0, 3, 1000)), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(LsnsOf(*log->Read(0, 4, 100'000)), Range(4, 5));
}

TEST_F(LogReadTest, IsOutOfRangeWhenItWasCutAwayBeforeTheLogWasOpened) {
  LogOptions options = Options(disk_);
  options.released[0] = 7;
  auto log = Start(options);
  EXPECT_EQ(CodeOf(log->Read(0, 1, 1000)), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(CodeOf(log->Read(0, 9, 1000)), absl::StatusCode::kOutOfRange);
}

TEST_F(LogReadTest, ATruncateVoidsTheTailForReadersAndRecovery) {
  LogOptions options = Options(disk_);
  options.segment_bytes = kLogSegmentBytesMin;
  auto log = Start(options);
  ShardEnd other(1);
  ShardEnd shard(0);
  for (int i = 0; i < 6; ++i) {
    AppendAlone(*log, shard, 3000);  // over several segments
    AppendAlone(*log, other, 10);
  }
  ASSERT_TRUE(shard.Truncate(*log, 3).ok());
  ASSERT_TRUE(listener_->WaitSynced(1, 6));
  EXPECT_EQ(LsnsOf(*log->Read(0, 1, 100'000)), Range(1, 3));
  EXPECT_THAT(*log->Read(0, 4, 100'000), IsEmpty());
  // The new tail differs from the void one.
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(shard.Append(*log, 500).ok());
  // Twice, in one batch with what comes around it.
  ASSERT_TRUE(shard.Truncate(*log, 4).ok());
  ASSERT_TRUE(shard.Append(*log, 600).ok());
  ASSERT_TRUE(log->Stop().ok());
  EXPECT_EQ(listener_->synced(0), 5u);
  const auto check_tail = [&](const Log& read) {
    auto records = read.Read(0, 2, 100'000);
    ASSERT_TRUE(records.ok()) << records.status();
    ASSERT_EQ(LsnsOf(*records), Range(2, 5));
    EXPECT_EQ((*records)[2].payload.size(), 500u);
    EXPECT_EQ((*records)[3].payload.size(), 600u);
    EXPECT_EQ(LsnsOf(*read.Read(0, 5, 1)), Range(5, 5));
    EXPECT_EQ(LsnsOf(*read.Read(1, 1, 100'000)), Range(1, 6));
  };
  check_tail(*log);

  log = Start(options);
  const LogShardRecords& records = recovery_->Shard(0);
  EXPECT_TRUE(records.damage.ok()) << records.damage;
  ASSERT_EQ(LsnsOf(records), Range(1, 5));
  EXPECT_EQ(records[3].payload.size(), 500u);
  EXPECT_EQ(records[4].payload.size(), 600u);
  EXPECT_EQ(records.last_crc, shard.crc);
  check_tail(*log);
  shard.Resume(*recovery_);
  EXPECT_TRUE(shard.Append(*log).ok());
}

TEST_F(LogReadTest, ATruncateThatEndsTheLogIsRemembered) {
  auto log = Start();
  ShardEnd shard(0);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(shard.Append(*log).ok());
  ASSERT_TRUE(shard.Truncate(*log, 0).ok());
  ASSERT_TRUE(log->Stop().ok());
  log = Start();
  EXPECT_TRUE(recovery_->Shard(0).empty());
  EXPECT_EQ(recovery_->Shard(0).last_lsn, 0u);
  EXPECT_THAT(*log->Read(0, 1, 1000), IsEmpty());
}

TEST_F(LogReadTest, PassesOverWhatRecoveryFoundBad) {
  auto log = Start();
  ShardEnd a(0);
  ShardEnd b(1);
  for (int i = 0; i < 3; ++i) {
    AppendAlone(*log, b);
    AppendAlone(*log, a);
  }
  const uint64_t end_of_a3 = log->Stats().position;
  AppendAlone(*log, b);
  log.reset();
  const std::string name = disk_.Names()[0];
  // A batch here has 120 bytes. a3's payload; the header of the batch of a2.
  disk_.Flip(name, end_of_a3 - 1, 3);
  disk_.Flip(name, end_of_a3 - 3 * 120 + 20, 3);
  log = Start();
  ASSERT_FALSE(recovery_->DamageOf(0).ok());
  ASSERT_TRUE(recovery_->DamageOf(1).ok()) << recovery_->DamageOf(1);
  EXPECT_EQ(LsnsOf(*log->Read(1, 1, 100'000)), Range(1, 4));
}

TEST_F(LogReadTest, ARecordThatRotsIsDataLossAndNotReturned) {
  auto log = Start();
  ShardEnd shard(0);
  AppendAlone(*log, shard);
  const uint64_t end = log->Stats().position;
  AppendAlone(*log, shard);
  const std::string name = disk_.Names()[0];
  disk_.Flip(name, end - 1, 3);
  EXPECT_EQ(CodeOf(log->Read(0, 1, 1000)), absl::StatusCode::kDataLoss);
  EXPECT_THAT(LsnsOf(*log->Read(0, 2, 1000)), ElementsAre(2));
  disk_.Flip(name, end + 8, 3);  // position, in the header of the batch
  EXPECT_EQ(CodeOf(log->Read(0, 2, 1000)), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace paramo
