#include "client/cli/table_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Refusal(const TableFlags& flags) {
  v1::TableSpec spec;
  return std::string(ReadTableSpec(flags, spec).message());
}

TEST(TableSpecFlags, DescribeASparseTable) {
  TableFlags flags;
  flags.name = "ads";
  flags.dim = 64;
  flags.rule = "adagrad";
  flags.params = {"lr=0.05", "eps=1e-8"};
  flags.init = "uniform:0.01";
  flags.non_finite = "clip:10";
  flags.seed = 7;
  flags.codec = "int8";
  v1::TableSpec spec;
  ASSERT_TRUE(ReadTableSpec(flags, spec).ok());
  EXPECT_EQ(spec.dim(), 64u);
  EXPECT_FALSE(spec.has_tensor());
  EXPECT_EQ(spec.rule().name(), "adagrad");
  EXPECT_DOUBLE_EQ(spec.rule().params().at("lr"), 0.05);
  EXPECT_DOUBLE_EQ(spec.rule().params().at("eps"), 1e-8);
  EXPECT_EQ(spec.initializer().kind(), v1::Initializer::UNIFORM);
  EXPECT_DOUBLE_EQ(spec.initializer().a(), 0.01);
  EXPECT_EQ(spec.non_finite().policy(), v1::NonFinite::CLIP);
  EXPECT_DOUBLE_EQ(spec.non_finite().clip(), 10);
  EXPECT_EQ(spec.seed(), 7u);
  EXPECT_EQ(spec.codec(), 3u);
}

TEST(TableSpecFlags, DescribeATensor) {
  TableFlags flags;
  flags.name = "w0";
  flags.tensor = "784,256";
  flags.init = "xavier:784,256";
  v1::TableSpec spec;
  ASSERT_TRUE(ReadTableSpec(flags, spec).ok());
  EXPECT_THAT(spec.tensor().shape(), ElementsAre(784, 256));
  EXPECT_EQ(spec.dim(), 4096u);
  EXPECT_EQ(spec.initializer().fan_out(), 256u);
  flags.tensor = "10";  // smaller than a block
  v1::TableSpec small;
  ASSERT_TRUE(ReadTableSpec(flags, small).ok());
  EXPECT_EQ(small.dim(), 10u);
  flags.block = 4;
  v1::TableSpec blocks;
  ASSERT_TRUE(ReadTableSpec(flags, blocks).ok());
  EXPECT_EQ(blocks.dim(), 4u);
}

TEST(TableSpecFlags, AreRefusedWithTheFlagAndAnExample) {
  TableFlags flags;
  flags.name = "ads";
  EXPECT_THAT(Refusal(flags), HasSubstr("--dim N"));
  flags.dim = 4;
  flags.tensor = "2,2";
  EXPECT_THAT(Refusal(flags), HasSubstr("--block"));
  flags.tensor = "";
  for (const char* init :
       {"uniform", "uniform:", "uniform:x", "zeros:1", "xavier:1", "xavier:0,1",
        "unifrom:1", "", "normal:nan", "uniform:1:2"}) {
    flags.init = init;
    EXPECT_THAT(Refusal(flags), HasSubstr("uniform:0.01")) << init;
  }
  flags.init = "zeros";
  for (const char* param : {"lr", "lr=", "=1", "lr=x", "lr=inf"}) {
    flags.params = {param};
    EXPECT_THAT(Refusal(flags), HasSubstr("lr=0.05")) << param;
  }
  flags.params = {"lr=1", "lr=2"};
  EXPECT_THAT(Refusal(flags), HasSubstr("twice"));
  flags.params = {};
  for (const char* policy :
       {"", "clip", "clip:0", "clip:-1", "clip:x", "keep"}) {
    flags.non_finite = policy;
    EXPECT_THAT(Refusal(flags), HasSubstr("clip:10")) << policy;
  }
}

TEST(TableSpecFlags, RefuseTensorsBeyondReason) {
  TableFlags flags;
  flags.name = "w";
  for (const char* shape :
       {"", ",", "0", "-1", "a", "1,,2", "281474976710656,2",
        "16777216,16777216,16777216"}) {
    flags.tensor = shape;
    EXPECT_NE(Refusal(flags), "") << shape;
  }
}

}  // namespace
}  // namespace paramo::cli
