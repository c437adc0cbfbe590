// Opening, rolling and releasing: which files there are, and whose.
#include "tests/unit/server/log/log_test_util.h"

namespace paramo {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LogOpenTest : public LogTest {
 protected:
  LogOptions SmallSegments() {
    LogOptions options = Options(disk_);
    options.segment_bytes = kLogSegmentBytesMin;
    return options;
  }
  // Every record is larger than a segment, so each has one of its own.
  std::unique_ptr<Log> StartWithSegments(LogOptions options, ShardEnd& shard,
                                         int records) {
    auto log = Start(std::move(options));
    for (int i = 0; i < records; ++i) AppendAlone(*log, shard, 5000);
    return log;
  }
  absl::Status OpenStatus(const LogOptions& options) {
    return Log::Open(options).status();
  }
};

TEST_F(LogOpenTest, AnEmptyDirectoryIsAnEmptyLog) {
  auto log = Start();
  EXPECT_TRUE(recovery_->shards().empty());
  EXPECT_TRUE(recovery_->corruptions().empty());
  EXPECT_TRUE(recovery_->DamageOf(5).ok());
  EXPECT_TRUE(recovery_->Shard(5).empty());
  EXPECT_THAT(disk_.Names(), ElementsAre("00000001-0000000000000000.log"));
}

TEST_F(LogOpenTest, GoesOnWhereItStopped) {
  ShardEnd shard(4);
  for (int round = 0; round < 4; ++round) {
    auto log = Start();
    EXPECT_EQ(LsnsOf(recovery_->Shard(4)), Range(1, shard.lsn));
    shard.Resume(*recovery_);
    AppendAlone(*log, shard);
    ASSERT_TRUE(log->Stop().ok());
  }
  EXPECT_EQ(disk_.Names().size(), 4u);
}

TEST_F(LogOpenTest, RollsAndSyncsTheOldSegment) {
  ShardEnd shard(0);
  auto log = StartWithSegments(SmallSegments(), shard, 3);
  EXPECT_EQ(disk_.Names().size(), 3u);
  // Nothing asked for a sync, but the rolls did.
  EXPECT_EQ(listener_->synced(0), 2u);
  EXPECT_EQ(log->Stats().segments, 3u);
  EXPECT_EQ((*Recover(disk_, "boot-2"))->Shard(0).last_lsn, 3u);
}

TEST_F(LogOpenTest, AReleasedSegmentGoesAndTheRestIsRecovered) {
  ShardEnd a(0);
  ShardEnd b(1);
  auto log = StartWithSegments(SmallSegments(), a, 2);
  AppendAlone(*log, b, 5000);  // the third segment
  AppendAlone(*log, a, 5000);
  log->Release(0, 3);  // b still needs the third
  // Cut by the writer before it stops.
  ASSERT_TRUE(log->Stop().ok());
  EXPECT_THAT(disk_.Names().front(), testing::StartsWith("00000003-"));
  const LogStats stats = log->Stats();
  ASSERT_EQ(stats.oldest_needed.size(), 1u);
  EXPECT_EQ(stats.oldest_needed[0].shard, 1u);
  EXPECT_EQ(stats.oldest_needed[0].lsn, 1u);
  log.reset();

  auto recovery = *Recover(disk_, "boot-2");
  EXPECT_THAT(LsnsOf(recovery->Shard(0)), ElementsAre(3));
  EXPECT_THAT(LsnsOf(recovery->Shard(1)), ElementsAre(1));
  EXPECT_TRUE(recovery->DamageOf(0).ok());
}

TEST_F(LogOpenTest, KeepAllCutsNothing) {
  ShardEnd shard(0);
  LogOptions options = SmallSegments();
  options.keep_all = true;
  auto log = StartWithSegments(options, shard, 3);
  log->Release(0, 3);
  ASSERT_TRUE(log->Stop().ok());
  EXPECT_EQ(LsnsOf((*Recover(disk_, "boot-2"))->Shard(0)), Range(1, 3));
}

TEST_F(LogOpenTest, ASegmentThatCannotBeRemovedStaysUntilItCan) {
  ShardEnd shard(0);
  auto log = StartWithSegments(SmallSegments(), shard, 3);
  disk_.FailRemoves(true);
  log->Release(0, 1);
  AppendAlone(*log, shard, 5000);
  AppendAlone(*log, shard, 5000);  // the writer has tried by now
  EXPECT_EQ(log->Stats().segments, 5u);
  disk_.FailRemoves(false);
  log->Release(0, 3);
  ASSERT_TRUE(log->Stop().ok());
  EXPECT_EQ(LsnsOf((*Recover(disk_, "boot-2"))->Shard(0)), Range(4, 5));
}

TEST_F(LogOpenTest, WhatIsReleasedAtOpenMakesAGapDamage) {
  ShardEnd shard(0);
  StartWithSegments(SmallSegments(), shard, 3)->Stop().IgnoreError();
  disk_.Erase(disk_.Names()[0]);
  LogOptions options = SmallSegments();
  options.released[0] = 1;  // lsn 1 went with its segment, and may
  auto log = Start(options);
  EXPECT_TRUE(recovery_->DamageOf(0).ok());
  ASSERT_TRUE(log->Stop().ok());

  options.released[0] = 0;
  log = Start(options);
  EXPECT_THAT(recovery_->DamageOf(0).message(),
              HasSubstr("first record is lsn 2, needed is 1"));
}

TEST_F(LogOpenTest, AMissingSegmentDamagesTheShardsThatWereInIt) {
  ShardEnd a(0);
  ShardEnd b(1);
  auto log = Start(SmallSegments());
  AppendAlone(*log, b, 100);
  AppendAlone(*log, a, 5000);
  AppendAlone(*log, a, 5000);  // the second segment, all of it
  AppendAlone(*log, a, 5000);
  AppendAlone(*log, b, 100);
  ASSERT_TRUE(log->Stop().ok());
  disk_.Erase(disk_.Names()[1]);
  auto recovery = *Recover(disk_, "boot-2");
  EXPECT_THAT(recovery->DamageOf(0).message(), HasSubstr("missing segments"));
  EXPECT_THAT(LsnsOf(recovery->Shard(0)), ElementsAre(1));
  EXPECT_TRUE(recovery->DamageOf(1).ok());
  EXPECT_EQ(LsnsOf(recovery->Shard(1)), Range(1, 2));
  EXPECT_FALSE(recovery->DamageOf(2).ok());  // it may all have been there
}

TEST_F(LogOpenTest, AShortSegmentDamagesTheShardsThatWereInIt) {
  ShardEnd shard(0);
  auto log = StartWithSegments(SmallSegments(), shard, 2);
  ASSERT_TRUE(log->Stop().ok());
  const std::string first = disk_.Names()[0];
  disk_.Put(first, disk_.Bytes(first).substr(0, 128));
  auto recovery = *Recover(disk_, "boot-2");
  EXPECT_THAT(recovery->DamageOf(0).message(), HasSubstr("the file is short"));
}

TEST_F(LogOpenTest, AHalfMadeSegmentIsRemoved) {
  ShardEnd shard(0);
  auto log = StartWithSegments(Options(disk_), shard, 1);
  ASSERT_TRUE(log->Stop().ok());
  disk_.Put("00000002-00000000000014f8.log.tmp", "PARAM");
  log = Start();
  EXPECT_EQ(recovery_->Shard(0).last_lsn, 1u);
  for (const std::string& name : disk_.Names()) {
    EXPECT_THAT(name, testing::EndsWith(".log"));
  }
}

TEST_F(LogOpenTest, AnEmptyLastSegmentIsNoDamage) {
  ShardEnd shard(0);
  auto log = StartWithSegments(Options(disk_), shard, 1);
  ASSERT_TRUE(log->Stop().ok());
  log = Start();  // makes the second
  const std::string second = disk_.Names()[1];
  log.reset();
  for (size_t bytes : {0u, 1u, 127u, 128u}) {
    MemoryDisk copy;
    copy.Put(disk_.Names()[0], disk_.Bytes(disk_.Names()[0]));
    copy.Put(second, disk_.Bytes(second).substr(0, bytes));
    auto recovery = *Recover(copy, "boot-2");
    EXPECT_EQ(recovery->Shard(0).last_lsn, 1u);
    EXPECT_TRUE(recovery->DamageOf(0).ok()) << bytes;
  }
}

TEST_F(LogOpenTest, RefusesAStrangersFile) {
  disk_.Put("notes.txt", "buy milk");
  const absl::Status status = OpenStatus(Options(disk_));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("notes.txt"));
}

TEST_F(LogOpenTest, RefusesAStrangersFileUnderOurName) {
  disk_.Put("00000001-0000000000000000.log", std::string(1000, 'x'));
  const absl::Status status = OpenStatus(Options(disk_));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("not a segment of a log"));
}

TEST_F(LogOpenTest, RefusesAnotherOwnersSegments) {
  Start().reset();
  LogOptions other = Options(disk_);
  other.cluster_id = 0xc2;
  EXPECT_THAT(OpenStatus(other).message(), HasSubstr("belongs to cluster"));
  other = Options(disk_);
  other.server_id = 4;
  EXPECT_THAT(OpenStatus(other).message(), HasSubstr("belongs to server 3"));
  EXPECT_EQ(OpenStatus(other).code(), absl::StatusCode::kFailedPrecondition);
  other.server_id = 0;  // whatever the log says
  EXPECT_TRUE(OpenStatus(other).ok());
}

TEST_F(LogOpenTest, RefusesAnotherFormatAndARenamedSegment) {
  Start().reset();
  const std::string name = disk_.Names()[0];
  const std::string bytes = disk_.Bytes(name);
  SegmentHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  header.format_version = 2;
  Seal(header);
  std::string other = bytes;
  std::memcpy(other.data(), &header, sizeof(header));
  disk_.Put(name, other);
  EXPECT_THAT(OpenStatus(Options(disk_)).message(),
              HasSubstr("has log format 2, this binary reads 1"));
  disk_.Erase(name);
  disk_.Put("00000002-0000000000000000.log", bytes);
  EXPECT_THAT(OpenStatus(Options(disk_)).message(),
              HasSubstr("was renamed: it is segment 1"));
}

TEST_F(LogOpenTest, RefusesOptionsOutOfRange) {
  LogOptions options = Options(disk_);
  options.segment_bytes = 1;
  EXPECT_EQ(OpenStatus(options).code(), absl::StatusCode::kInvalidArgument);
  options = Options(disk_);
  options.buffer_bytes = 0;
  EXPECT_EQ(OpenStatus(options).code(), absl::StatusCode::kInvalidArgument);
  options = Options(disk_, std::string(41, 'b'));
  EXPECT_EQ(OpenStatus(options).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace paramo
