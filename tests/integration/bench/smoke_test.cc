// Every bench of `paramo bench` runs, and every line that it writes is whole.
// Figures are not looked at: sizes are tiny, and time is the machine's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "client/cli/process.h"
#include "nlohmann/json.hpp"

namespace paramo::bench {
namespace {

using ::testing::Contains;

std::vector<std::string> Lines(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Runs `paramo bench NAME`; the lines of its --json.
std::vector<std::string> LinesOf(const std::string& bench,
                                 const std::vector<std::string>& more = {}) {
  const std::string base = absl::StrCat(::testing::TempDir(), "/bench-", bench);
  cli::ProcessOptions options;
  options.name = bench;
  options.log_file = base + ".log";
  options.argv = {PARAMO_BINARY_DIR "/paramo",
                  "bench",
                  bench,
                  "--smoke",
                  "--json",
                  base + ".jsonl",
                  "--rounds",
                  "1",
                  "--time",
                  "10ms",
                  "--wait",
                  "0s"};
  options.argv.insert(options.argv.end(), more.begin(), more.end());
  auto process = cli::Process::Start(options);
  EXPECT_TRUE(process.ok());
  EXPECT_TRUE((*process)->WaitFor(absl::Seconds(60)));
  EXPECT_TRUE((*process)->succeeded()) << (*process)->Outcome() << "\n"
                                       << cli::LogTail(options.log_file);
  return Lines(base + ".jsonl");
}

bool IsNumber(const nlohmann::json& value) {
  return value.is_number() && value.get<double>() >= 0;
}

void ExpectWhole(const nlohmann::json& row, const std::string& bench,
                 const std::vector<std::string>& docs) {
  ASSERT_EQ(row.size(), 14u);
  EXPECT_EQ(row.at("bench"), bench);
  EXPECT_NE(row.at("case"), "");
  EXPECT_NE(row.at("unit"), "");
  EXPECT_GT(row.at("value").get<double>(), 0);
  EXPECT_TRUE(IsNumber(row.at("cpu")));
  EXPECT_TRUE(IsNumber(row.at("spread")));
  EXPECT_TRUE(row.at("noisy").is_boolean());
  const bool floor = row.at("floor") != "";
  EXPECT_EQ(IsNumber(row.at("floor_value")), floor);
  EXPECT_EQ(IsNumber(row.at("ratio")), floor);
  const bool target = row.at("op") != "";
  EXPECT_EQ(IsNumber(row.at("target")), target);
  EXPECT_EQ(row.at("met").is_boolean(), target);
  const std::string heading = row.at("explained_in");
  if (heading.empty()) return;
  EXPECT_THAT(docs, Contains("## " + heading));
}

void ExpectWhole(const std::vector<std::string>& lines,
                 const std::string& bench) {
  const std::vector<std::string> docs =
      Lines(PARAMO_SOURCE_DIR "/docs/benchmarks.md");
  EXPECT_GE(lines.size(), 4u);
  for (const std::string& line : lines) {
    SCOPED_TRACE(line);
    ExpectWhole(nlohmann::json::parse(line), bench, docs);
  }
}

class SmokeTest : public ::testing::TestWithParam<const char*> {};

TEST_P(SmokeTest, WritesWholeLines) {
  ExpectWhole(LinesOf(GetParam()), GetParam());
}

TEST(CodecSmokeTest, WritesWholeLines) {
  ExpectWhole(LinesOf("rows", {"--codec", "int8"}), "rows");
}

TEST(SharedMemorySmokeTest, WritesWholeLines) {
  for (const char* bench : {"wire", "rows"})
    ExpectWhole(LinesOf(bench, {"--lane", "shm"}), bench);
}

INSTANTIATE_TEST_SUITE_P(Benches, SmokeTest,
                         ::testing::Values("floors", "wire", "rows", "latency",
                                           "overload", "store", "scale"),
                         [](const auto& bench) {
                           return std::string(bench.param);
                         });

}  // namespace
}  // namespace paramo::bench
