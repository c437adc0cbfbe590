#include "server/coordinator/validate.h"

#include <string>

#include "common/base/limits.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

TEST(ValidateName, TakesTheAllowList) {
  for (const std::string& name : {std::string("a"), std::string("0-x_y.z"),
                                  std::string(kTableNameBytesMax, 'a')}) {
    EXPECT_TRUE(ValidateName("name", name).ok()) << name;
  }
}

TEST(ValidateName, RefusesEverythingElse) {
  const std::string bad[] = {"",
                             "A",
                             "a b",
                             ".a",
                             "_a",
                             "-a",
                             "a/b",
                             "a\nb",
                             "é",
                             "a\\b",
                             "../a",
                             std::string(kTableNameBytesMax + 1, 'a'),
                             std::string("a\0b", 3)};
  for (const std::string& name : bad) {
    EXPECT_CODE(kInvalidArgument, ValidateName("name", name));
  }
}

TEST(ValidateName, ErrorsAreOnePrintableLine) {
  std::string text(ValidateName("name", "a\n\x1b[31m").message());
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(ValidateAddress, WantsAHostAndAPort) {
  EXPECT_TRUE(ValidateAddress("address", "10.0.0.1:7701").ok());
  EXPECT_TRUE(ValidateAddress("address", "[::1]:65535").ok());
  for (const char* bad : {"", ":1", "host", "host:", "host:0", "host:65536",
                          "host:-1", "host:1x", "ho\tst:1"}) {
    EXPECT_CODE(kInvalidArgument, ValidateAddress("address", bad));
  }
}

TEST(ValidateRange, NamesFieldValueAndRange) {
  EXPECT_TRUE(ValidateRange("dim", 1, 1, 2).ok());
  EXPECT_TRUE(ValidateRange("dim", 2, 1, 2).ok());
  EXPECT_EQ(ValidateRange("dim", 3, 1, 2).message(),
            "dim is 3; it must be 1 to 2");
}

}  // namespace
}  // namespace paramo
