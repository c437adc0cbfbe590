#include "common/transport/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

TEST(ParseAddress, TakesNamesAndNumbers) {
  for (const char* text : {"localhost:1", "10.0.0.7:65535", "[::1]:7070",
                           "paramo-server-2.paramo:0", "a_b:80"}) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_EQ(ParseAddress("[::1]:7070")->host, "::1");
}

TEST(ParseAddress, RefusesAnythingElse) {
  for (const char* text : {"",
                           ":",
                           "host",
                           "host:",
                           ":80",
                           "host:65536",
                           "host:-1",
                           "host:+1",
                           "host: 1",
                           "host:1 ",
                           " host:1",
                           "host:0x10",
                           "host:999999",
                           "::1:80",
                           "[::1]",
                           "[]:80",
                           "[host]:80",
                           "http://host:80",
                           "host:80/x",
                           "ho\nst:80",
                           "unix:/tmp/x",
                           "a,b:80"}) {
    EXPECT_EQ(ParseAddress(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_FALSE(ParseAddress(absl::StrCat(std::string(300, 'a'), ":80")).ok());
}

TEST(ParseAddress, ErrorShowsTheTextEscapedAndTheForm) {
  const absl::Status status = ParseAddress("ho\nst").status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("ho\\n"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("host:port"));
}

TEST(ParseAddressList, TakesSeveral) {
  const auto list = ParseAddressList("a:1,b:2");
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ((*list)[1].ToString(), "b:2");
}

TEST(ParseAddressList, RefusesEmptyRepeatedAndPortZero) {
  for (const char* text :
       {"", ",", "a:1,", "a:1,,b:2", "a:1, b:2", "a:1,a:1", "a:0"})
    EXPECT_FALSE(ParseAddressList(text).ok()) << text;
}

TEST(IsLoopback, OnlyWhatCannotLeaveTheMachine) {
  for (const char* host : {"localhost", "127.0.0.1", "127.255.0.3", "::1"})
    EXPECT_TRUE(IsLoopback({host, 1})) << host;
  for (const char* host :
       {"0.0.0.0", "::", "10.0.0.1", "127.evil.example",
        "127.0.0.1.evil.example", "localhost.evil", "127.0.0.256", "127.0.0"})
    EXPECT_FALSE(IsLoopback({host, 1})) << host;
}

}  // namespace
}  // namespace paramo
