#include <gtest/gtest.h>

#include <string>

#include "paramo/job.h"

namespace paramo {
namespace {

TEST(SyncTest, EveryFormReadsBackAsWritten) {
  for (const char* text : {"async", "bsp", "bsp+1", "ssp:0", "ssp:8", "round:3",
                           "round:3,500ms"}) {
    auto sync = Sync::Parse(text);
    ASSERT_TRUE(sync.ok()) << text;
    EXPECT_EQ(sync->ToString(), text);
  }
  EXPECT_EQ(Sync::Parse("round:3,2s")->deadline.count(), 2000);
  EXPECT_EQ(Sync(Sync::kBsp).ToString(), "bsp");
}

TEST(SyncTest, AnythingElseIsRefusedWithTheForms) {
  for (const char* text :
       {"", "BSP", "bsp+0", "bsp+x", "ssp", "ssp:-1", "ssp:99999999999",
        "round:0", "round:2,", "round:2,0s", "round:2,1d", "async "}) {
    auto sync = Sync::Parse(text);
    ASSERT_FALSE(sync.ok()) << text;
    EXPECT_NE(sync.status().message().find("ssp:2"), std::string::npos);
  }
}

}  // namespace
}  // namespace paramo
