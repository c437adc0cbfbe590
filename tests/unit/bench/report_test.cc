#include "tests/bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"

namespace paramo::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Row Missed() {
  Row row;
  row.name = "push \"4 MB\"";
  row.floor = "gRPC echo";
  row.unit = Unit::kGigabytes;
  row.value = 1.5;
  row.cpu = 0.9;
  row.floor_value = 3;
  row.ratio = 0.5;
  row.target = AtLeast(0.85);
  row.spread = 0.1;
  row.noisy = true;
  row.explained_in = "Dense";
  return row;
}

TEST(ReportTest, ARowIsOneJsonObjectWithAllFields) {
  const std::string line = Json("wire", Missed());
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  const auto expected = nlohmann::json::parse(
      R"({"bench": "wire", "case": "push \"4 MB\"", "value": 1.5,
          "unit": "GB/s", "cpu": 0.9, "floor": "gRPC echo", "floor_value": 3.0,
          "ratio": 0.5, "op": ">=", "target": 0.85, "met": false,
          "spread": 0.1, "noisy": true, "explained_in": "Dense"})");
  EXPECT_EQ(nlohmann::json::parse(line), expected);
}

TEST(ReportTest, WhatARowHasNotIsNullOrEmpty) {
  Row row;
  row.name = "memcpy";
  const auto json = nlohmann::json::parse(Json("floors", row));
  EXPECT_EQ(json.size(), 14u);
  EXPECT_EQ(json["floor"], "");
  EXPECT_EQ(json["op"], "");
  for (const char* key : {"floor_value", "ratio", "target", "met"}) {
    EXPECT_TRUE(json[key].is_null()) << key;
  }
}

TEST(ReportTest, TheTableSaysWhatWasMissedAndWhatNoisyMeans) {
  EXPECT_THAT(Table({Missed()}), HasSubstr(">= 0.85 MISSED"));
  EXPECT_THAT(Table({Missed()}), HasSubstr("\nnoisy: "));
  EXPECT_THAT(Table({Row()}), Not(HasSubstr("\nnoisy: ")));
}

}  // namespace
}  // namespace paramo::bench
