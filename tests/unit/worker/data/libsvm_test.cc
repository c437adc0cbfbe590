#include "worker/data/libsvm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "tests/unit/worker/data/text_file.h"
#include "worker/data/indexed_dataset.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Enough plain examples that one of twenty is surely held out.
std::string Padding() {
  std::string text;
  for (int i = 0; i < 200; ++i) absl::StrAppend(&text, "1 9:1\n");
  return text;
}

std::string ErrorOf(const std::string& text) {
  TextFile file(text);
  auto data = ReadLibsvm(file.path());
  EXPECT_EQ(data.status().code(), absl::StatusCode::kInvalidArgument);
  std::string message(data.status().message());
  EXPECT_EQ(message.rfind(file.path(), 0), 0u) << message;
  return message.substr(file.path().size());
}

TEST(Libsvm, ReadsLabelsFeaturesAndComments) {
  // The first two examples are trained on: see HoldsOutByNumber.
  ASSERT_FALSE(IsHeldOut(0));
  ASSERT_FALSE(IsHeldOut(1));
  TextFile file("# two examples\n\n+1 1:0.5\t7:-2e3  # tail\r\n-1 3:1\n" +
                Padding());
  auto data = ReadLibsvm(file.path());
  ASSERT_TRUE(data.ok()) << data.status();
  const SparseExamples& train = data->train;
  EXPECT_EQ(train.labels[0], 1);
  EXPECT_EQ(train.labels[1], 0);
  EXPECT_EQ(train.offsets[1], 2u);
  EXPECT_EQ(train.offsets[2], 3u);
  EXPECT_EQ(train.features[1], 7u);
  EXPECT_EQ(train.values[1], -2000.0f);
  EXPECT_EQ(train.features[2], 3u);
  EXPECT_EQ(train.features.size(), train.values.size());
  EXPECT_EQ(train.offsets.back(), train.features.size());
}

TEST(Libsvm, AnExampleMayHaveNoFeaturesAndTheLastLineNoEnd) {
  TextFile file(Padding() + "0");
  auto data = ReadLibsvm(file.path());
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train.size() + data->held_out.size(), 201u);
}

TEST(Libsvm, HoldsOutByNumber) {
  TextFile file(Padding());
  auto data = ReadLibsvm(file.path());
  ASSERT_TRUE(data.ok());
  size_t expected = 0;
  for (uint64_t i = 0; i < 200; ++i) expected += IsHeldOut(i);
  EXPECT_EQ(data->held_out.size(), expected);
  EXPECT_GT(expected, 2u);
  EXPECT_LT(expected, 25u);
  EXPECT_EQ(data->train.size(), 200 - expected);
}

TEST(Libsvm, ReadsGzip) {
  TextFile file(Padding(), TextFile::Form::kGzip);
  auto data = ReadLibsvm(file.path());
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train.size() + data->held_out.size(), 200u);
}

TEST(Libsvm, NoticesATruncatedGzip) {
  TextFile file(Padding(), TextFile::Form::kGzip);
  ASSERT_EQ(truncate(file.path().c_str(), 30), 0);
  EXPECT_EQ(ReadLibsvm(file.path()).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(Libsvm, ErrorsNameLineAndColumn) {
  EXPECT_THAT(ErrorOf("1 1:1\n2 1:1\n"), HasSubstr(":2:1: the label is `2`"));
  EXPECT_THAT(ErrorOf("1 1:1 x\n"), HasSubstr(":1:7: expected INDEX:VALUE"));
  EXPECT_THAT(ErrorOf("1 -3:1\n"), HasSubstr(":1:3: expected INDEX:VALUE"));
  EXPECT_THAT(ErrorOf("1 3:nan\n"), HasSubstr(":1:5: `nan` is not a finite"));
  EXPECT_THAT(ErrorOf("1 3:\n"), HasSubstr(":1:5: `` is not a finite"));
  EXPECT_THAT(ErrorOf("1 3:1 3:2\n"), HasSubstr(":1:7: index 3 comes after 3"));
  EXPECT_THAT(ErrorOf("\x1b[2J\n"), HasSubstr("\\x1b[2J"));
}

TEST(Libsvm, RefusesTooFewExamples) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("holds 0 examples"));
  EXPECT_THAT(ErrorOf("1 1:1\n"), HasSubstr("holds 1 examples"));
}

TEST(Libsvm, RefusesAnEndlessLine) {
  TextFile file(std::string(kDataLineBytesMax + (size_t{3} << 20), ' '));
  EXPECT_EQ(ReadLibsvm(file.path()).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Libsvm, MissingFileIsNotFound) {
  EXPECT_EQ(ReadLibsvm("/nonexistent").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace paramo
