#include "client/cli/output.h"

#include <gtest/gtest.h>

namespace paramo::cli {
namespace {

TEST(Output, AlignsTextLeftAndNumbersRight) {
  Records records({"name", "rows"});
  records.Add({"a", 5});
  records.Add({"longer", 12345});
  EXPECT_EQ(records.Table(),
            "name     rows\n"
            "a           5\n"
            "longer  12345\n");
  EXPECT_EQ(records.Json(),
            "[{\"name\": \"a\", \"rows\": 5}, "
            "{\"name\": \"longer\", \"rows\": 12345}]");
}

TEST(Output, EscapesHostileText) {
  Records records({"name"});
  records.Add({"a\x1b[2J\nb"});
  EXPECT_EQ(records.Table(), "name\na\\x1b[2J\\nb\n");
  EXPECT_EQ(records.Json(), "[{\"name\": \"a\\u001b[2J\\u000ab\"}]");
}

TEST(Output, WritesValuesThatProgramsCanRead) {
  EXPECT_EQ(JsonObject({{"pass", true},
                        {"metric", 0.8731},
                        {"pushes", uint64_t{18446744073709551615u}},
                        {"nothing", 0.0 / 0.0}}),
            "{\"pass\": true, \"metric\": 0.8731, "
            "\"pushes\": 18446744073709551615, \"nothing\": null}");
}

TEST(Output, ShortensForPeople) {
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(1000), "1,000");
  EXPECT_EQ(Thousands(12345678), "12,345,678");
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1'230'000), "1.23 MB");
  EXPECT_EQ(HumanBytes(5e13), "50 TB");
}

}  // namespace
}  // namespace paramo::cli
