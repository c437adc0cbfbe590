// The numbers of section.h are those of data.proto.
#include <gtest/gtest.h>

#include "common/wire/section.h"
#include "paramo/v1/data.pb.h"

namespace paramo::wire {
namespace {

TEST(ReasonTest, NumbersAndNamesAreThoseOfTheProto) {
  EXPECT_EQ(static_cast<int>(kReasonCount), v1::Reason_MAX + 1);
  for (int i = v1::Reason_MIN; i <= v1::Reason_MAX; ++i) {
    ASSERT_TRUE(v1::Reason_IsValid(i)) << i;
    std::string name = v1::Reason_Name(static_cast<v1::Reason>(i));
    std::string mine =
        std::string("REASON_") + ReasonName(static_cast<Reason>(i));
    for (char& c : mine) c = static_cast<char>(toupper(c));
    EXPECT_EQ(mine, name);
  }
}

TEST(OutcomeTest, NumbersAreThoseOfTheProto) {
  EXPECT_EQ(static_cast<int>(Outcome::kApplied), v1::OUTCOME_APPLIED);
  EXPECT_EQ(static_cast<int>(Outcome::kAccumulated), v1::OUTCOME_ACCUMULATED);
  EXPECT_EQ(static_cast<int>(Outcome::kDropped), v1::OUTCOME_DROPPED);
  EXPECT_EQ(static_cast<int>(kFlagEndOfClock), v1::SECTION_FLAG_END_OF_CLOCK);
  EXPECT_EQ(static_cast<int>(kFlagWithPulled), v1::SECTION_FLAG_WITH_PULLED);
  EXPECT_EQ(static_cast<int>(kFlagInitial), v1::SECTION_FLAG_INITIAL);
}

}  // namespace
}  // namespace paramo::wire
