#include "client/cli/npz.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace paramo::cli {
namespace {

class NpzTest : public testing::Test {
 protected:
  NpzTest() : dir_(testing::TempDir() + "/paramo_npz_test.XXXXXX") {
    EXPECT_NE(::mkdtemp(dir_.data()), nullptr);
    path_ = dir_ + "/out.npz";
  }
  ~NpzTest() override { std::filesystem::remove_all(dir_); }

  // Runs `code` in Debian's Python with `a` = the loaded file; its output.
  std::string Python(const std::string& code) {
    const std::string script = dir_ + "/script.py";
    const std::string output = dir_ + "/output";
    std::ofstream(script) << "import numpy\na = numpy.load('" << path_ << "')\n"
                          << code << "\n";
    const std::string command =
        absl::StrCat("/usr/bin/python3 ", script, " >", output, " 2>&1");
    const int status = std::system(command.c_str());
    std::ifstream in(output);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    return status == 0 ? text : absl::StrCat("failed: ", text);
  }

  std::string dir_;
  std::string path_;
};

TEST_F(NpzTest, NumPyReadsEveryArray) {
  auto npz = NpzWriter::Create(path_);
  ASSERT_TRUE(npz.ok()) << npz.status();
  ASSERT_TRUE((*npz)->Begin("keys", "<u8", {3}).ok());
  const uint64_t keys[] = {1, 2, 18446744073709551615u};
  ASSERT_TRUE((*npz)->Append(absl::Span<const uint64_t>(keys)).ok());
  ASSERT_TRUE((*npz)->Begin("values", "<f4", {3, 2}).ok());
  const float first[] = {0.5f, 1.5f};
  const float rest[] = {2.5f, 3.5f, 4.5f, -5.5f};
  ASSERT_TRUE((*npz)->Append(absl::Span<const float>(first)).ok());
  ASSERT_TRUE((*npz)->Append(absl::Span<const float>(rest)).ok());
  ASSERT_TRUE((*npz)->Begin("none", "<f4", {0, 2}).ok());
  ASSERT_TRUE((*npz)->Finish().ok());
  EXPECT_EQ(Python("print(sorted(a), a['keys'].tolist(), a['values'].tolist(),"
                   " a['keys'].dtype, a['values'].dtype, a['none'].shape)"),
            "['keys', 'none', 'values'] [1, 2, 18446744073709551615] "
            "[[0.5, 1.5], [2.5, 3.5], [4.5, -5.5]] uint64 float32 (0, 2)\n");
  // zipfile checks every entry's CRC.
  EXPECT_EQ(Python(absl::StrCat("import zipfile\nprint(zipfile.ZipFile('",
                                path_, "').testzip())")),
            "None\n");
  EXPECT_FALSE(std::filesystem::exists(path_ + ".part"));
}

TEST_F(NpzTest, AnIncompleteArrayLeavesNoFile) {
  {
    auto npz = NpzWriter::Create(path_);
    ASSERT_TRUE(npz.ok());
    ASSERT_TRUE((*npz)->Begin("value", "<f4", {2, 2}).ok());
    const float half[] = {1, 2};
    ASSERT_TRUE((*npz)->Append(absl::Span<const float>(half)).ok());
    EXPECT_FALSE((*npz)->Finish().ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir_));
}

TEST_F(NpzTest, SaysWhenItCannotWrite) {
  auto npz = NpzWriter::Create(dir_ + "/missing/out.npz");
  EXPECT_THAT(std::string(npz.status().message()),
              testing::HasSubstr("cannot write"));
}

TEST_F(NpzTest, ReportsAFullDisk) {
  // Every write to /dev/full fails with ENOSPC once the buffer is flushed.
  ASSERT_EQ(::symlink("/dev/full", (path_ + ".part").c_str()), 0);
  auto npz = NpzWriter::Create(path_);
  ASSERT_TRUE(npz.ok());
  std::vector<float> values(1 << 20);
  absl::Status status = (*npz)->Begin("value", "<f4", {values.size()});
  if (status.ok()) status = (*npz)->Append(absl::Span<const float>(values));
  if (status.ok()) status = (*npz)->Finish();
  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("No space left on device"));
}

}  // namespace
}  // namespace paramo::cli
