#include "common/config/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/limits.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<Arguments> Parse(const std::vector<std::string>& args) {
  return ParseArguments(args, {{"listen", false, false, false},
                               {"verbose", true, false, false},
                               {"param", false, true, false},
                               {"help", true, false, false},
                               {"name", false, false, true}});
}

std::string Refusal(const std::vector<std::string>& args) {
  auto given = Parse(args);
  return given.ok() ? "" : std::string(given.status().message());
}

TEST(Arguments, CutsFlagsSwitchesAndPositionals) {
  auto given = Parse({"--listen", "a:1", "fashion", "--verbose", "--param",
                      "lr=0.1", "--param=eps=-1"});
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_THAT((*given)["listen"], ElementsAre("a:1"));
  EXPECT_THAT((*given)["name"], ElementsAre("fashion"));
  EXPECT_THAT((*given)["verbose"], ElementsAre("true"));
  EXPECT_THAT((*given)["param"], ElementsAre("lr=0.1", "eps=-1"));
  EXPECT_EQ(given->count("help"), 0u);
  EXPECT_THAT((*Parse({"--verbose=false"}))["verbose"], ElementsAre("false"));
  EXPECT_THAT((*Parse({"--listen", "-5"}))["listen"], ElementsAre("-5"));
  EXPECT_THAT((*Parse({"--", "--verbose"}))["name"], ElementsAre("--verbose"));
  EXPECT_THAT((*Parse({"-"}))["name"], ElementsAre("-"));
  EXPECT_THAT((*Parse({"-h"}))["help"], ElementsAre("true"));
}

TEST(Arguments, RefusesUnknownFlagsWithASuggestion) {
  EXPECT_THAT(Refusal({"--lsiten", "a:1"}),
              HasSubstr("unknown flag `--lsiten`; did you mean `--listen`?"));
  EXPECT_THAT(Refusal({"--lsiten=a:1"}), HasSubstr("did you mean `--listen`?"));
  EXPECT_THAT(Refusal({"--zzzzzzzzz"}), HasSubstr("unknown flag"));
  EXPECT_THAT(Refusal({"-x"}), HasSubstr("unknown flag `-x`"));
  EXPECT_THAT(Refusal({"one", "two"}), HasSubstr("unexpected argument `two`"));
}

TEST(Arguments, RefusesAFlagTwiceOrWithoutItsValue) {
  EXPECT_THAT(Refusal({"--listen", "a:1", "--listen", "b:1"}),
              HasSubstr("--listen is given 2 times"));
  EXPECT_NE(Refusal({"--listen"}), "");
  EXPECT_THAT(Refusal({"--listen", "--verbose"}), HasSubstr("needs a value"));
}

TEST(Arguments, RefusesHostileText) {
  EXPECT_THAT(Refusal({"a\nb"}), HasSubstr("a\\nb"));
  EXPECT_THAT(Refusal({"--listen", "\x1b[2J"}), HasSubstr("\\x1b"));
  EXPECT_NE(Refusal({"\xff"}), "");
  EXPECT_THAT(Refusal({std::string(kArgumentBytesMax + 1, 'x')}),
              HasSubstr("command line"));
  EXPECT_EQ(Refusal({"%s%n%d"}), "");  // just a name
  EXPECT_THAT(Refusal({"--%s%n"}), HasSubstr("unknown flag `--%s%n`"));
}

}  // namespace
}  // namespace paramo
