#include "common/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/limits.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A file that is gone after the test.
class TempFile {
 public:
  explicit TempFile(const std::string& text)
      : path_(absl::StrCat(testing::TempDir(), "/paramo_config_test.", getpid(),
                           ".yaml")) {
    std::ofstream(path_) << text;
  }
  ~TempFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

struct Options {
  std::string listen = "127.0.0.1:0";
  uint32_t shards = 64;
  uint64_t memory_bytes = 64 << 20;
  absl::Duration lease = absl::Seconds(3);
  bool insecure = false;
  std::vector<std::string> address;
  std::string level = "info";
};

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    config_.Address("listen", options_.listen, "serve here; port 0 = any");
    config_.Int("shards", options_.shards, {1, 4096}, "shards of the cluster");
    config_.Size("memory", options_.memory_bytes, {1024}, "for rows");
    config_.Duration("lease", options_.lease, {}, "silence that is death");
    config_.Switch("insecure-listen", options_.insecure, "any address");
    config_.Addresses("address", options_.address, "the cluster");
    config_.Choice("log-level", options_.level, {"info", "error"}, "detail");
    config_.Example("paramo-thing --shards 8");
  }
  std::string Refusal(const std::vector<std::string>& args,
                      const Environment& environment = {}) {
    return std::string(config_.Parse(args, environment).message());
  }

  Options options_;
  Config config_{"paramo-thing", "does things"};
};

TEST_F(ConfigTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  TempFile file("shards: 2\nmemory: 2KiB\nlease: 2s\n");
  auto status =
      config_.Parse({"--config", file.path(), "--shards", "8"},
                    {{"PARAMO_SHARDS", "4"}, {"PARAMO_MEMORY", "4KiB"}});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(options_.shards, 8u);
  EXPECT_EQ(options_.memory_bytes, 4096u);
  EXPECT_EQ(options_.lease, absl::Seconds(2));
  EXPECT_EQ(options_.listen, "127.0.0.1:0");
  const std::string table = config_.Table(/*origin=*/true);
  EXPECT_THAT(table, testing::ContainsRegex("shards +8 +flag"));
  EXPECT_THAT(table, testing::ContainsRegex("memory +4KiB +PARAMO_MEMORY"));
  EXPECT_THAT(table, testing::ContainsRegex("lease +2s +.*yaml:3:1"));
  EXPECT_THAT(table, testing::ContainsRegex("listen +127.0.0.1:0 +default"));
}

TEST_F(ConfigTest, TheEnvironmentMayNameTheFile) {
  TempFile file("insecure-listen: true\naddress: [a:1, b:2]\n");
  ASSERT_TRUE(config_.Parse({}, {{"PARAMO_CONFIG", file.path()}}).ok());
  EXPECT_TRUE(options_.insecure);
  EXPECT_THAT(options_.address, ElementsAre("a:1", "b:2"));
}

TEST_F(ConfigTest, AHiddenValueMustStillBeValid) {
  EXPECT_THAT(Refusal({"--shards", "8"}, {{"PARAMO_SHARDS", "many"}}),
              StartsWith("PARAMO_SHARDS: `many` is not a whole number from 1 "
                         "to 4096"));
  EXPECT_FALSE(config_.usage_error());
}

TEST_F(ConfigTest, NamesTheFlagTheVariableOrThePlace) {
  EXPECT_THAT(Refusal({"--memory", "lots"}), StartsWith("--memory: `lots`"));
  EXPECT_TRUE(config_.usage_error());
  TempFile file("# comment\nlease: 3\n");
  EXPECT_THAT(Refusal({"--config", file.path()}),
              HasSubstr("yaml:2:1: lease: `3` is not a duration"));
  EXPECT_FALSE(config_.usage_error());
}

TEST_F(ConfigTest, RefusesUnknownAndDuplicateKeys) {
  TempFile unknown("memroy: 1MiB\n");
  EXPECT_THAT(Refusal({"--config", unknown.path()}),
              HasSubstr("did you mean `memory`?"));
  TempFile twice("shards: 1\nshards: 2\n");
  EXPECT_THAT(Refusal({"--config", twice.path()}), HasSubstr("duplicate key"));
  TempFile own("help: true\n");  // not a setting of a file
  EXPECT_THAT(Refusal({"--config", own.path()}), HasSubstr("unknown setting"));
  EXPECT_THAT(Refusal({"--config", "/nonexistent/x.yaml"}),
              HasSubstr("cannot open /nonexistent/x.yaml"));
}

TEST_F(ConfigTest, TakesTypesStrictlyFromTheFile) {
  TempFile quoted("shards: \"8\"\n");
  EXPECT_THAT(Refusal({"--config", quoted.path()}),
              HasSubstr("without quotes"));
  TempFile list("shards: [8]\n");
  EXPECT_THAT(Refusal({"--config", list.path()}), HasSubstr("found a list"));
  TempFile address("listen: \"[::1]:0\"\n");
  EXPECT_EQ(Refusal({"--config", address.path()}), "");
  EXPECT_EQ(options_.listen, "[::1]:0");
  TempFile comma("address: [\"a:1,b:1\"]\n");
  EXPECT_THAT(Refusal({"--config", comma.path()}), HasSubstr("comma"));
}

TEST_F(ConfigTest, WarnsOfMisspeltVariablesOnly) {
  ASSERT_TRUE(config_
                  .Parse({}, {{"PARAMO_SHARD", "4"},
                              {"PARAMO_SERVICE_HOST", "10.0.0.1"},
                              {"PARAMO_PORT", "tcp://10.0.0.1:80"},
                              {"PARAMO_SHARDS", ""}})
                  .ok());
  EXPECT_THAT(config_.warnings(),
              ElementsAre("variable PARAMO_SHARD is not used; did you mean "
                          "`PARAMO_SHARDS`?"));
  EXPECT_EQ(options_.shards, 64u);
}

TEST_F(ConfigTest, LimitsWhatAVariableMayHold) {
  EXPECT_THAT(
      Refusal({}, {{"PARAMO_LISTEN", std::string(kArgumentBytesMax + 1, 'x')}}),
      StartsWith("PARAMO_LISTEN: longer than"));
}

TEST_F(ConfigTest, ShowsSettingsEvenWhereARuleIsBroken) {
  config_.Check([] { return absl::InvalidArgumentError("never"); });
  EXPECT_EQ(Refusal({}), "never");
  EXPECT_EQ(config_.ParseMain({"--show-config"}), kExitOk);
  EXPECT_THAT(config_.Json(/*origin=*/false),
              StartsWith("{\"listen\": \"127.0.0.1:0\", \"shards\": "));
}

TEST_F(ConfigTest, ChecksRulesOverSeveralSettings) {
  config_.Check([&] {
    return options_.shards == 3 ? absl::InvalidArgumentError("three!")
                                : absl::OkStatus();
  });
  EXPECT_EQ(Refusal({"--shards", "3"}), "three!");
  EXPECT_TRUE(config_.usage_error());
}

TEST_F(ConfigTest, RefusesAValueThatForgesALogLine) {
  EXPECT_THAT(Refusal({}, {{"PARAMO_LISTEN", "a:1\nE 00:00 forged"}}),
              Not(HasSubstr("\n")));
}

TEST_F(ConfigTest, HelpFitsAScreenAndShowsAnExample) {
  const std::string help = config_.Help();
  int lines = 0;
  for (absl::string_view line : absl::StrSplit(help, '\n')) {
    EXPECT_LE(line.size(), 80u) << line;
    ++lines;
  }
  EXPECT_LE(lines, 24);
  EXPECT_THAT(help, HasSubstr("--memory SIZE"));
  EXPECT_THAT(help, HasSubstr("(default 64MiB)"));
  EXPECT_THAT(help, HasSubstr("Examples:\n  paramo-thing --shards 8\n"));
}

TEST_F(ConfigTest, ExitsWith78OnBadConfigurationAnd2OnBadUsage) {
  TempFile bad("shards: x\n");
  TempFile* file = &bad;
  EXPECT_EQ(config_.ParseMain({"--config", file->path()}), kExitConfig);
  EXPECT_EQ(config_.ParseMain({"--check-config", "--config", file->path()}),
            kExitConfig);
  EXPECT_EQ(config_.ParseMain({"--bogus"}), kExitUsage);
  EXPECT_EQ(config_.ParseMain({"--check-config", "--bogus"}), kExitConfig);
}

TEST_F(ConfigTest, ExitsWith0WhenOnlyAsked) {
  EXPECT_EQ(config_.ParseMain({"--check-config", "--shards", "8"}), kExitOk);
}

TEST_F(ConfigTest, RunsOtherwise) {
  EXPECT_EQ(config_.ParseMain({"--shards", "8"}), std::nullopt);
}

TEST(ConfigPositional, MustBeGivenUnlessOptional) {
  std::string name;
  std::string file = "out.npz";
  Config config("paramo table export", "writes a table");
  config.Positional("table", name, "the table to write");
  config.OptionalPositional("file", file, "where to");
  EXPECT_THAT(std::string(config.Parse({}, {}).message()),
              HasSubstr("TABLE is missing: the table to write"));
  ASSERT_TRUE(config.Parse({"ads"}, {{"PARAMO_TABLE", "x"}}).ok());
  EXPECT_EQ(name, "ads");
  EXPECT_EQ(file, "out.npz");
  EXPECT_THAT(config.warnings(), IsEmpty());
  EXPECT_THAT(config.Help(), HasSubstr("paramo table export TABLE [FILE]"));
}

}  // namespace
}  // namespace paramo
