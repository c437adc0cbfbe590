#include "tests/chaos/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"

namespace paramo::chaos {
namespace {

FaultRecord Landed(const char* kind, int outage_ms) {
  FaultRecord fault;
  fault.kind = kind;
  fault.outage = absl::Milliseconds(outage_ms);
  return fault;
}

Summary Clean() {
  Summary summary;
  summary.seed = 7;
  summary.faults_requested = 2;
  summary.Add(Landed("stop", 40));
  summary.Add(Landed("stop", 20));
  summary.verdict.attempted = summary.verdict.acked = summary.verdict.found = 9;
  return summary;
}

TEST(Report, TheLastLineHasTheseFieldsAndNoOthers) {
  const auto json = nlohmann::ordered_json::parse(ToJson(Clean()));
  std::vector<std::string> fields;
  for (const auto& [field, value] : json.items()) fields.push_back(field);
  EXPECT_THAT(fields,
              testing::ElementsAre(
                  "seed", "faults_requested", "faults_landed", "skipped",
                  "attempted", "acked", "failed", "unknown", "found", "lost",
                  "duplicated", "recovered", "unexpected", "divergent_replicas",
                  "outage_ms", "seconds", "pass"));
  EXPECT_EQ(json["faults_landed"]["stop"], 2);
  EXPECT_EQ(json["outage_ms"]["stop"]["n"], 2);
  EXPECT_EQ(json["outage_ms"]["stop"]["p50"], 20);
  EXPECT_EQ(json["outage_ms"]["stop"]["max"], 40);
  EXPECT_EQ(json["pass"], true);
}

TEST(Report, ARunPassesOnlyWhenNothingIsWrong) {
  Summary summary = Clean();
  summary.verdict.lost = 1;
  EXPECT_FALSE(summary.pass());
  summary = Clean();
  summary.verdict.duplicated = 1;
  EXPECT_FALSE(summary.pass());
  summary = Clean();
  summary.verdict.unexpected = 1;
  EXPECT_FALSE(summary.pass());
  summary = Clean();
  summary.divergent_replicas = 1;
  EXPECT_FALSE(summary.pass());
  summary = Clean();
  summary.error = "no progress";
  EXPECT_FALSE(summary.pass());
  summary = Clean();
  summary.verdict.acked = 0;
  EXPECT_FALSE(summary.pass());
  summary = Clean();
  summary.faults_requested = 3;
  EXPECT_FALSE(summary.pass());
  EXPECT_TRUE(Clean().pass());
}

TEST(Report, AFaultThatDidNotLandCountsNowhere) {
  FaultRecord fault = Landed("kill9", 900);
  fault.not_landed = "nothing was in flight on its target";
  Summary summary = Clean();
  summary.Add(fault);
  EXPECT_EQ(summary.faults_landed.count("kill9"), 0u);
  EXPECT_EQ(summary.outages.count("kill9"), 0u);
}

TEST(Report, QuantilesAreNearestRank) {
  std::vector<absl::Duration> values;
  for (int i = 100; i >= 1; --i) values.push_back(absl::Milliseconds(i));
  EXPECT_EQ(Quantile(values, 0.5), absl::Milliseconds(50));
  EXPECT_EQ(Quantile(values, 0.99), absl::Milliseconds(99));
  EXPECT_EQ(Quantile(values, 1), absl::Milliseconds(100));
  EXPECT_EQ(Quantile({absl::Milliseconds(3)}, 0.5), absl::Milliseconds(3));
  EXPECT_EQ(Quantile({}, 0.5), absl::ZeroDuration());
}

}  // namespace
}  // namespace paramo::chaos
