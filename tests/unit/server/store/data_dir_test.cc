#include "server/store/data_dir.h"

#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

DataDirOptions At(const std::string& path, uint64_t cluster = 0,
                  uint32_t server = 0) {
  DataDirOptions options;
  options.path = path;
  options.cluster_id = cluster;
  options.server_id = server;
  return options;
}

std::unique_ptr<DataDir> MustOpenDir(const DataDirOptions& options) {
  auto dir = DataDir::Open(options);
  EXPECT_TRUE(dir.ok()) << ToString(dir.status());
  return dir.ok() ? *std::move(dir) : nullptr;
}

void ExpectRefused(const DataDirOptions& options, absl::StatusCode code,
                   const std::string& text) {
  auto dir = DataDir::Open(options);
  EXPECT_EQ(dir.status().code(), code) << ToString(dir.status());
  EXPECT_THAT(std::string(dir.status().message()), HasSubstr(text));
}

constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

TEST(DataDir, NewDirectoryTakesAnIdentityLater) {
  TempDir temp;
  const std::string path = temp.path() + "/a/b";  // parents are made
  uint64_t incarnation = 0;
  {
    auto dir = MustOpenDir(At(path));
    EXPECT_EQ(dir->cluster_id(), 0u);
    EXPECT_TRUE(dir->last_stop_was_clean());
    incarnation = dir->incarnation();
    EXPECT_NE(incarnation, 0u);
    ASSERT_TRUE(dir->Adopt(0xabc, 7).ok());
    ASSERT_TRUE(dir->Adopt(0xabc, 7).ok());  // the same again
    EXPECT_EQ(dir->Adopt(0xabd, 7).code(), kFailedPrecondition);
    EXPECT_EQ(dir->Adopt(0xabc, 8).code(), kFailedPrecondition);
    ASSERT_TRUE(dir->MarkClean().ok());
  }
  auto dir = MustOpenDir(At(path, 0xabc, 7));
  EXPECT_EQ(dir->cluster_id(), 0xabcu);
  EXPECT_EQ(dir->server_id(), 7u);
  EXPECT_EQ(dir->incarnation(), incarnation);
  EXPECT_TRUE(dir->last_stop_was_clean());
  EXPECT_TRUE(dir->same_boot());
}

// Whether the incarnation survives is for the log to prove.
TEST(DataDir, StopWithoutMarkIsUncleanAndKeepsTheIncarnationUntilItIsEnded) {
  TempDir temp;
  const uint64_t incarnation = MustOpenDir(At(temp.path()))->incarnation();
  auto dir = MustOpenDir(At(temp.path()));
  EXPECT_FALSE(dir->last_stop_was_clean());
  EXPECT_EQ(dir->incarnation(), incarnation);
  ASSERT_TRUE(dir->EndIncarnation().ok());
  const uint64_t next = dir->incarnation();
  EXPECT_NE(next, incarnation);
  dir.reset();
  EXPECT_EQ(MustOpenDir(At(temp.path()))->incarnation(), next);
}

TEST(DataDir, OpeningTakesTheCleanMarkAway) {
  TempDir temp;
  { ASSERT_TRUE(MustOpenDir(At(temp.path()))->MarkClean().ok()); }
  EXPECT_TRUE(MustOpenDir(At(temp.path()))->last_stop_was_clean());
  EXPECT_FALSE(MustOpenDir(At(temp.path()))->last_stop_was_clean());
}

TEST(DataDir, NoticesThatTheKernelRestarted) {
  TempDir temp;
  { MustOpenDir(At(temp.path())); }
  const std::string path = temp.path() + "/PARAMO";
  auto file = DataDirFile::Parse(ReadWholeFile(path));
  ASSERT_TRUE(file.ok());
  file->boot_id = "another";
  WriteWholeFile(path, file->Format());
  EXPECT_FALSE(MustOpenDir(At(temp.path()))->same_boot());
  EXPECT_TRUE(MustOpenDir(At(temp.path()))->same_boot());
}

TEST(DataDir, SecondUserIsRefusedWithTheFirstOnesPid) {
  TempDir temp;
  auto dir = MustOpenDir(At(temp.path()));
  ExpectRefused(At(temp.path()), kFailedPrecondition,
                absl::StrCat("in use by process ", getpid()));
}

TEST(DataDir, LockOfADeadProcessIsFree) {
  TempDir temp;
  const pid_t child = fork();
  if (child == 0) {
    auto dir = DataDir::Open(At(temp.path()));
    _exit(dir.ok() ? 0 : 1);  // without a destructor, as kill -9 would
  }
  int exit_status = -1;
  ASSERT_EQ(waitpid(child, &exit_status, 0), child);
  ASSERT_EQ(exit_status, 0);
  EXPECT_FALSE(MustOpenDir(At(temp.path()))->last_stop_was_clean());
}

TEST(DataDir, AnotherClustersDirectoryIsRefusedAndUnchanged) {
  TempDir temp;
  { ASSERT_TRUE(MustOpenDir(At(temp.path(), 5, 1))->MarkClean().ok()); }
  const std::string before = ReadWholeFile(temp.path() + "/PARAMO");
  ExpectRefused(At(temp.path(), 6, 1), kFailedPrecondition,
                "belongs to cluster 0000000000000005");
  ExpectRefused(At(temp.path(), 5, 2), kFailedPrecondition,
                "belongs to server 1");
  EXPECT_EQ(ReadWholeFile(temp.path() + "/PARAMO"), before);
}

TEST(DataDir, AnotherFormatVersionIsRefused) {
  TempDir temp;
  DataDirFile file;
  file.format_version = kDataFormatVersion + 1;
  WriteWholeFile(temp.path() + "/PARAMO", file.Format());
  ExpectRefused(At(temp.path()), kFailedPrecondition, "data format 2");
}

TEST(DataDir, OtherPeoplesFilesAreRefused) {
  TempDir temp;
  WriteWholeFile(temp.path() + "/thesis.tex", "do not lose this");
  ExpectRefused(At(temp.path()), kFailedPrecondition, "thesis.tex");
  EXPECT_FALSE(std::filesystem::exists(temp.path() + "/PARAMO"));
}

TEST(DataDir, FreshVolumesAreTaken) {
  TempDir temp;
  std::filesystem::create_directory(temp.path() + "/lost+found");
  WriteWholeFile(temp.path() + "/PARAMO.tmp", "cut off in the middle of");
  EXPECT_NE(MustOpenDir(At(temp.path())), nullptr);
}

TEST(DataDir, DamagedFileIsDataLoss) {
  TempDir temp;
  { MustOpenDir(At(temp.path(), 5, 1)); }
  const std::string path = temp.path() + "/PARAMO";
  const std::string good = ReadWholeFile(path);
  // Every single bit flipped, every truncation.
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] ^= 1 << bit;
      EXPECT_EQ(DataDirFile::Parse(bad).status().code(),
                absl::StatusCode::kDataLoss)
          << bad;
    }
    EXPECT_EQ(DataDirFile::Parse(good.substr(0, i)).status().code(),
              absl::StatusCode::kDataLoss)
        << i;
  }
  for (const std::string& bad :
       {std::string(), std::string(100000, '\0'), good.substr(0, 60)}) {
    WriteWholeFile(path, bad);
    ExpectRefused(At(temp.path()), absl::StatusCode::kDataLoss, temp.path());
  }
}

TEST(DataDir, PathThatIsAFileIsRefused) {
  TempDir temp;
  WriteWholeFile(temp.path() + "/file", "x");
  EXPECT_FALSE(DataDir::Open(At(temp.path() + "/file")).ok());
}

}  // namespace
}  // namespace paramo
