#include "common/config/value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/json.h"
#include "common/config/utf8.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(const absl::Status& status) {
  return std::string(status.message());
}

TEST(Value, ReadsSizesExactly) {
  EXPECT_EQ(*ParseSize("4096", {}), 4096);
  EXPECT_EQ(*ParseSize("64MiB", {}), 67'108'864);
  EXPECT_EQ(*ParseSize("1GB", {}), 1'000'000'000);
  EXPECT_EQ(*ParseSize("1.5KiB", {}), 1536);
  // 2^53 + 1 is the first whole number a double cannot hold.
  EXPECT_EQ(*ParseSize("9007199254740993B", {}), 9'007'199'254'740'993);
  EXPECT_EQ(FormatSize(67'108'864), "64MiB");
  EXPECT_EQ(FormatSize(1'000'000), "1MB");
  EXPECT_EQ(FormatSize(1001), "1001");
  EXPECT_EQ(FormatSize(0), "0");
}

TEST(Value, RefusesWhatIsNoSize) {
  for (const char* text :
       {"", "MiB", "-1", "+1", "64 MiB", "64mib", "0x10", "1e3", "nan", "inf",
        "1.5", "1.2.3MB", "8192PiB", "99999999TiB", "9223372036854775808",
        "0.0000001KB", "1111111111111111111111111111111111111111"}) {
    auto size = ParseSize(text, {});
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_THAT(ErrorOf(size.status()), HasSubstr("e.g.")) << text;
  }
  EXPECT_THAT(ErrorOf(ParseSize("2GiB", {1024, 1 << 30}).status()),
              HasSubstr("from 1KiB to 1GiB"));
}

TEST(Value, ReadsDurationsAndRefusesTheRest) {
  EXPECT_EQ(*ParseDuration("250ms", {}), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("1h30m", {}), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("0s", {}), absl::ZeroDuration());
  for (const char* text : {"", "2", "inf", "-2s", "nan", "2 s", "s", "1e99h",
                           "9999999h", "+1s", "2sec"}) {
    EXPECT_FALSE(ParseDuration(text, {}).ok()) << text;
  }
}

TEST(Value, ReadsNumbersWithinTheirRange) {
  EXPECT_EQ(*ParseInt("-3", {-5, 5}), -3);
  EXPECT_DOUBLE_EQ(*ParseNumber("5e-2", {}), 0.05);
  for (const char* text : {"", " 1", "1 ", "+1", "0x1", "1.0", "6", "-6",
                           "99999999999999999999999999"}) {
    EXPECT_FALSE(ParseInt(text, {-5, 5}).ok()) << text;
  }
  for (const char* text :
       {"", "nan", "inf", "-inf", "1e999", "0x1p3", " 1", "1,5", "+2"}) {
    EXPECT_FALSE(ParseNumber(text, {}).ok()) << text;
  }
  EXPECT_FALSE(ParseNumber("2", {0, 1}).ok());
  EXPECT_FALSE(ParseBool("True").ok());
  EXPECT_FALSE(ParseBool("1").ok());
  EXPECT_TRUE(*ParseBool("true"));
}

TEST(Value, ReadsAddresses) {
  EXPECT_EQ(ParseHostPort("[::1]:7070")->host, "::1");
  EXPECT_EQ(ParseHostPort("ps-0.svc:7071")->port, 7071);
  EXPECT_EQ(ParseHostPort("localhost:0")->port, 0);
  for (const char* text :
       {"", ":1", "host", "host:", "host:65536", "host:-1", "ho st:1", "::1:80",
        "[]:1", "[::1]", "a/b:1", "host:1:2", "ho\nst:1", "[zz]:1"}) {
    EXPECT_FALSE(ParseHostPort(text).ok()) << text;
  }
  EXPECT_THAT(*ParseAddresses("a:1,[::1]:2"), ElementsAre("a:1", "[::1]:2"));
  EXPECT_FALSE(ParseAddresses("a:1,,b:2").ok());
  EXPECT_THAT(ErrorOf(ParseAddresses("a:0").status()), HasSubstr("port is 0"));
}

TEST(Value, SuggestsTheNearestWord) {
  const std::vector<std::string> words = {"listen", "data-dir", "log-level"};
  EXPECT_EQ(Suggest("lisetn", words), "; did you mean `listen`?");
  EXPECT_EQ(Suggest("data_dir", words), "; did you mean `data-dir`?");
  EXPECT_EQ(Suggest("bananas", words), "");
  EXPECT_EQ(Suggest("data_dirr", words, /*edits_max=*/1), "");
  EXPECT_EQ(Suggest(std::string(1'000'000, 'x'), words), "");
  EXPECT_EQ(Suggest("", words), "");
}

TEST(Value, FindsWhatIsNotText) {
  EXPECT_EQ(FindBadText("p\xc3\xa1ramo \xe2\x82\xac \xf0\x9f\x8c\xbf", false),
            absl::string_view::npos);
  EXPECT_EQ(FindBadText("a\nb", true), absl::string_view::npos);
  EXPECT_EQ(FindBadText("a\nb", false), 1u);
  EXPECT_EQ(FindBadText(absl::string_view("ab\0c", 4), true), 2u);
  EXPECT_EQ(FindBadText("\x1b[31m", true), 0u);
  EXPECT_EQ(FindBadText("\xc2\x9b", true), 0u);          // CSI as one character
  EXPECT_EQ(FindBadText("x\xc0\xaf", true), 1u);         // overlong slash
  EXPECT_EQ(FindBadText("\xed\xa0\x80", true), 0u);      // surrogate
  EXPECT_EQ(FindBadText("\xf4\x90\x80\x80", true), 0u);  // above U+10FFFF
  EXPECT_EQ(FindBadText("\xe2\x82", true), 0u);          // cut short
  EXPECT_EQ(FindBadText("\xff\xfe", true), 0u);
}

TEST(Value, WritesJsonThatIsAlwaysValid) {
  EXPECT_EQ(JsonString("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\u000a\\u0001\"");
  EXPECT_EQ(JsonString("\xff"
                       "ok"),
            "\"\xef\xbf\xbd"
            "ok\"");
  EXPECT_EQ(JsonNumber(0.1), "0.1");
  EXPECT_EQ(JsonNumber(0.0 / 0.0), "null");
}

}  // namespace
}  // namespace paramo
