// The log on real files, and on a real disk that is full.
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "tests/unit/server/log/log_test_util.h"

namespace paramo {
namespace {

namespace fs = std::filesystem;

class LogPosixTest : public LogTest {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/paramo_log_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    dir_ = path;
  }
  void TearDown() override {
    recovery_.reset();  // its maps hold the mount
    if (mounted_) umount(dir_.c_str());
    fs::remove_all(dir_);
  }
  LogOptions RealOptions() {
    LogOptions options = Options(disk_);
    options.disk = nullptr;
    options.boot_id.clear();
    options.path = dir_ + "/log";
    return options;
  }

  std::string dir_;
  bool mounted_ = false;
};

TEST_F(LogPosixTest, AppendsRollsReleasesReadsAndRecovers) {
  LogOptions options = RealOptions();
  options.segment_bytes = 1 << 20;
  ShardEnd a(0);
  ShardEnd b(1);
  for (int life = 0; life < 3; ++life) {
    auto log = Start(options);
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(recovery_->Shard(1).last_lsn, b.lsn);
    EXPECT_TRUE(recovery_->corruptions().empty());
    for (int i = 0; i < 30; ++i) {
      ASSERT_TRUE(a.Append(*log, 100'000, Durability::kSynced).ok());
      ASSERT_TRUE(b.Append(*log, 100).ok());
      if (i % 7 == 0) AppendAlone(*log, a);
    }
    ASSERT_TRUE(listener_->WaitSynced(0, a.lsn));
    const Lsn from = a.lsn - 4;
    EXPECT_EQ(LsnsOf(*log->Read(0, from, kLogReadBytesMax)),
              Range(from, a.lsn));
    log->Release(0, a.lsn);
    log->Release(1, b.lsn);
    ASSERT_TRUE(log->Stop().ok());
    EXPECT_EQ(log->Stats().segments, 1u);
  }
}

TEST_F(LogPosixTest, AFullDiskEndsTheStreamAndLosesNothingReported) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting a small tmpfs takes root";
  if (mount("tmpfs", dir_.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs here: " << std::strerror(errno);
  }
  mounted_ = true;
  ShardEnd shard(0);
  Lsn synced = 0;
  {
    auto log = Start(RealOptions());
    for (int i = 0; i < 50; ++i) {
      AppendAlone(*log, shard, 10'000, Durability::kSynced);
    }
    while (shard.Append(*log, 10'000, Durability::kSynced).ok()) {
      ASSERT_LT(shard.lsn, 10'000u) << "the disk does not fill";
    }
    ASSERT_TRUE(listener_->WaitFailed());
    EXPECT_EQ(listener_->failures()[0].code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_FALSE(log->Stop().ok());
    synced = listener_->synced(0);
  }
  EXPECT_GE(synced, 50u);
  // Opening takes 128 bytes, which are not there: said, and nothing is lost.
  EXPECT_EQ(Log::Open(RealOptions()).status().code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_EQ(mount("", dir_.c_str(), nullptr, MS_REMOUNT, "size=2m"), 0);
  auto log = Start(RealOptions());
  ASSERT_NE(log, nullptr);
  EXPECT_TRUE(recovery_->corruptions().empty());
  EXPECT_GE(recovery_->Shard(0).last_lsn, synced);
}

TEST_F(LogPosixTest, RefusesADirectoryUnderASegmentsName) {
  fs::create_directories(dir_ + "/log/00000001-0000000000000000.log");
  EXPECT_EQ(Log::Open(RealOptions()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(LogPosixTest, SaysThatADirectoryCannotBeMade) {
  std::FILE* file = std::fopen((dir_ + "/log").c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fclose(file);
  EXPECT_FALSE(Log::Open(RealOptions()).ok());
}

}  // namespace
}  // namespace paramo
