// A sparse model on a whole cluster, from a package list that the test makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/random.h"
#include "nlohmann/json.hpp"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// 10 groups of 60 packages; one needs about 10 others of its group: some 6,000
// edges, which are easy to tell from others.
std::string MakeDump() {
  BitGen random(6);
  std::string text;
  for (int p = 0; p < 600; ++p) {
    absl::StrAppend(&text, "Package: group", p / 60, "-p", p % 60,
                    "\nDepends: group", p / 60, "-p0");
    for (int d = 0; d < 10; ++d) {
      absl::StrAppend(&text, ", group", p / 60, "-p", random.Below(60),
                      " (>= 1)");
    }
    text += "\n\n";
  }
  return text;
}

// bsp, because a graph this small leaves an async run's AUC to chance: it may
// miss the reference by more than the verdict allows.
TEST(DebgraphDemo, LearnsAPackageGraphAndShowsNeighbours) {
  TempDir dir;
  const std::string dump = dir.Write("dump", MakeDump());
  const std::string log = dir.path() + "/demo.log";
  const std::string json = dir.path() + "/demo.json";
  auto demo = StartBinary(
      "paramo",
      {"demo", "debgraph", "--data", dump, "--sync", "bsp", "--epochs", "60",
       "--servers", "2", "--neighbours", "group3-p7,nobody", "--json", json},
      log, {absl::StrCat("TMPDIR=", dir.path())});
  ASSERT_TRUE(demo->WaitFor(absl::Seconds(60))) << ReadWholeFile(log);
  const std::string output = ReadWholeFile(log);
  ASSERT_TRUE(demo->succeeded()) << output;
  const std::vector<std::string> lines =
      absl::StrSplit(ReadWholeFile(json), '\n', absl::SkipEmpty());
  ASSERT_FALSE(lines.empty());
  const auto result = nlohmann::json::parse(lines.back());
  EXPECT_EQ(result["metric_name"], "held_out_auc");
  EXPECT_GT(result["metric"], 0.9) << output;
  EXPECT_EQ(result["sync"], "bsp");
  EXPECT_EQ(result["pass"], true);
  // The nearest is of the same group.
  EXPECT_THAT(output, ContainsRegex("group3-p7 +group3-p"));
  EXPECT_THAT(output, HasSubstr("is no package of the data"));
}

TEST(DebgraphDemo, SaysWhatIsWrongWithTheData) {
  TempDir dir;
  const std::string dump = dir.Write("dump", "Package: a\nDepends: $\n");
  const std::string log = dir.path() + "/demo.log";
  auto demo = StartBinary("paramo", {"demo", "debgraph", "--data", dump}, log,
                          {absl::StrCat("TMPDIR=", dir.path())});
  ASSERT_TRUE(demo->WaitFor(absl::Seconds(60)));
  EXPECT_FALSE(demo->succeeded());
  EXPECT_THAT(ReadWholeFile(log), HasSubstr(dump + ":2:10: "));
}

}  // namespace
}  // namespace paramo::test
