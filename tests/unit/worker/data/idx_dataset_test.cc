#include "worker/data/idx_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace paramo {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

std::string BigEndian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(value >> shift));
  }
  return bytes;
}

std::string Images(uint32_t count, uint32_t rows, uint32_t columns,
                   const std::string& pixels) {
  return BigEndian(0x0803) + BigEndian(count) + BigEndian(rows) +
         BigEndian(columns) + pixels;
}

std::string Labels(uint32_t count, const std::string& labels) {
  return BigEndian(0x0801) + BigEndian(count) + labels;
}

std::string Gzip(const std::string& bytes) {
  std::string out(compressBound(bytes.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A folder with valid sets of 1 x 2 images, whose files a test replaces.
class IdxDatasetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/paramo_idx_XXXXXX";
    directory_ = mkdtemp(name);
    Write("train-images-idx3-ubyte",
          Images(3, 1, 2, std::string("\0\xff\x33\x66\x99\xcc", 6)));
    Write("train-labels-idx1-ubyte", Labels(3, std::string("\2\0\1", 3)));
    Write("t10k-images-idx3-ubyte", Images(1, 1, 2, "\x66\x99"));
    Write("t10k-labels-idx1-ubyte", Labels(1, "\1"));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << bytes;
  }
  void Remove(const std::string& name) {
    std::filesystem::remove(directory_ + "/" + name);
  }
  absl::Status OpenError() { return OpenIdxData(directory_, 3).status(); }

  std::string directory_;
};

TEST_F(IdxDatasetTest, ReadsPlainFilesStandardised) {
  auto data = OpenIdxData(directory_, 3);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->examples(), 3u);
  EXPECT_EQ(data->train->features(), 2u);
  EXPECT_EQ(data->train->classes(), 3u);
  EXPECT_EQ(data->test->examples(), 1u);
  std::vector<float> features(4);
  std::vector<int32_t> labels(2);
  std::vector<uint32_t> indices = {2, 0};
  ASSERT_TRUE(
      data->train
          ->Read(indices, absl::MakeSpan(features), absl::MakeSpan(labels))
          .ok());
  // Pixels 0, 255, 51, 102, 153, 204: mean 127.5, mean square deviation
  // (127.5^2 + 76.5^2 + 25.5^2) / 3 = 7586.25, so one deviation is 87.0991.
  EXPECT_THAT(features, ElementsAre(FloatNear(25.5f / 87.0991f, 1e-5f),
                                    FloatNear(76.5f / 87.0991f, 1e-5f),
                                    FloatNear(-127.5f / 87.0991f, 1e-5f),
                                    FloatNear(127.5f / 87.0991f, 1e-5f)));
  EXPECT_THAT(labels, ElementsAre(1, 2));
}

TEST_F(IdxDatasetTest, TestSetIsStandardisedByTheTrainingSet) {
  auto data = OpenIdxData(directory_, 3);
  ASSERT_TRUE(data.ok());
  std::vector<float> features(2);
  std::vector<int32_t> labels(1);
  std::vector<uint32_t> indices = {0};
  ASSERT_TRUE(
      data->test
          ->Read(indices, absl::MakeSpan(features), absl::MakeSpan(labels))
          .ok());
  EXPECT_THAT(features, ElementsAre(FloatNear(-25.5f / 87.0991f, 1e-5f),
                                    FloatNear(25.5f / 87.0991f, 1e-5f)));
}

TEST_F(IdxDatasetTest, ImagesOfOneColourAreFinite) {
  Write("train-images-idx3-ubyte", Images(3, 1, 2, "aaaaaa"));
  auto data = OpenIdxData(directory_, 3);
  ASSERT_TRUE(data.ok());
  std::vector<float> features(2);
  std::vector<int32_t> labels(1);
  std::vector<uint32_t> indices = {0};
  ASSERT_TRUE(
      data->train
          ->Read(indices, absl::MakeSpan(features), absl::MakeSpan(labels))
          .ok());
  EXPECT_THAT(features, ElementsAre(0, 0));
}

TEST_F(IdxDatasetTest, SetsOfDifferentImageSizeAreRefused) {
  Write("t10k-images-idx3-ubyte", Images(1, 1, 3, "abc"));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(OpenError().message(), HasSubstr("images of 3 pixels"));
}

TEST_F(IdxDatasetTest, ReadsGzipFiles) {
  Remove("train-images-idx3-ubyte");
  Write("train-images-idx3-ubyte.gz", Gzip(Images(3, 1, 2, "abcdef")));
  auto data = OpenIdxData(directory_, 3);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->examples(), 3u);
}

TEST_F(IdxDatasetTest, MissingFileSaysWhatToInstall) {
  Remove("train-labels-idx1-ubyte");
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(OpenError().message(),
              AllOf(HasSubstr("train-labels-idx1-ubyte[.gz]"),
                    HasSubstr("apt install"), HasSubstr("data.dir")));
}

TEST_F(IdxDatasetTest, TruncatedFileNamesTheByte) {
  Write("train-images-idx3-ubyte", Images(3, 1, 2, "abcd"));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(OpenError().message(), HasSubstr("ends too early at byte 20"));
}

TEST_F(IdxDatasetTest, TruncatedHeaderNamesTheByte) {
  Write("train-labels-idx1-ubyte", Labels(3, "").substr(0, 6));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(OpenError().message(), HasSubstr("ends too early at byte 6"));
}

TEST_F(IdxDatasetTest, EmptyFileIsTruncated) {
  Write("train-images-idx3-ubyte", "");
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kDataLoss);
}

TEST_F(IdxDatasetTest, TruncatedGzipIsRefused) {
  Remove("train-images-idx3-ubyte");
  std::string gzip = Gzip(Images(3, 1, 2, "abcdef"));
  Write("train-images-idx3-ubyte.gz", gzip.substr(0, gzip.size() - 12));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kDataLoss);
}

TEST_F(IdxDatasetTest, DamagedGzipIsRefused) {
  Remove("train-images-idx3-ubyte");
  std::string gzip = Gzip(Images(3, 1, 2, "abcdef"));
  gzip[gzip.size() - 6] ^= 1;  // its CRC-32
  Write("train-images-idx3-ubyte.gz", gzip);
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(OpenError().message(), HasSubstr("install the data set again"));
}

TEST_F(IdxDatasetTest, TrailingBytesAreRefused) {
  Write("train-labels-idx1-ubyte", Labels(3, std::string("\2\0\1\1", 4)));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(OpenError().message(), HasSubstr("longer than its header"));
}

TEST_F(IdxDatasetTest, WrongMagicShowsBoth) {
  Write("train-images-idx3-ubyte", Labels(3, "abc"));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(OpenError().message(),
              AllOf(HasSubstr("0x00000801"), HasSubstr("0x00000803")));
}

TEST_F(IdxDatasetTest, CountMismatchNamesBothFiles) {
  Write("train-labels-idx1-ubyte", Labels(2, std::string("\0\0", 2)));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(OpenError().message(),
              HasSubstr("2 labels (byte 4) for 3 images"));
}

TEST_F(IdxDatasetTest, LabelBeyondTheClassesNamesItsByte) {
  Write("train-labels-idx1-ubyte", Labels(3, std::string("\0\3\0", 3)));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(OpenError().message(), HasSubstr("label 3 at byte 9"));
}

TEST_F(IdxDatasetTest, ZeroDimensionIsRefused) {
  Write("train-images-idx3-ubyte", Images(3, 0, 2, ""));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(IdxDatasetTest, ClaimAboveTheLimitIsRefused) {
  Write("train-images-idx3-ubyte",
        Images(0xffffffff, 0xffffffff, 0xffffffff, "abc"));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(IdxDatasetTest, ClaimWithinTheLimitAllocatesOnlyWhatIsThere) {
  // 2 GiB are claimed; reading ends at the first step of 4 MiB.
  Write("train-images-idx3-ubyte", Images(1 << 16, 1 << 15, 1, "abc"));
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kDataLoss);
}

TEST(FashionMnist, HasTheShapeOfThePackage) {
  const std::string directory = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(directory)) {
    GTEST_SKIP() << "apt install dataset-fashion-mnist";
  }
  auto data = OpenIdxData(directory, 10);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->examples(), 60000u);
  EXPECT_EQ(data->test->examples(), 10000u);
  EXPECT_EQ(data->train->features(), 784u);
}

}  // namespace
}  // namespace paramo
