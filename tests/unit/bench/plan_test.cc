#include "tests/bench/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace paramo::bench {
namespace {

using ::testing::ElementsAre;

class PlanTest : public ::testing::Test {
 protected:
  // Gives 10, 20, 30, ... messages a second, times `factor`.
  size_t AddRising(const std::string& name, double factor) {
    return plan_.Add({name, [=, this, run = 0](absl::Duration) mutable {
                        order_.push_back(name);
                        Sample sample;
                        sample.seconds = 1;
                        sample.messages = 10 * ++run * factor;
                        return absl::StatusOr<Sample>(sample);
                      }});
  }
  absl::StatusOr<std::vector<Row>> MeasureThrice() {
    Rounds rounds;
    rounds.count = 3;
    rounds.run = [](const Subject& subject, absl::Duration time) {
      return subject.run(time);
    };
    return Measure(plan_, rounds);
  }

  Plan plan_;
  std::vector<std::string> order_;
};

TEST_F(PlanTest, RoundsGoOverAllSubjectsInOrder) {
  const size_t push = AddRising("push", 1);
  plan_.Compare(push, AddRising("floor", 2), Unit::kMessages, AtLeast(0.5));
  const auto rows = MeasureThrice();
  ASSERT_TRUE(rows.ok());
  EXPECT_THAT(order_,
              ElementsAre("push", "floor", "push", "floor", "push", "floor"));
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ((*rows)[0].name, "push");
  EXPECT_EQ((*rows)[0].floor, "floor");
  EXPECT_EQ((*rows)[0].value, 20);
  EXPECT_EQ((*rows)[0].ratio, 0.5);
  EXPECT_TRUE((*rows)[0].met);
}

TEST_F(PlanTest, ACaseMayHaveSeveralFloorsAndRunsOnce) {
  const size_t push = AddRising("push", 1);
  plan_.Compare(push, AddRising("slow", 2), Unit::kMessages);
  plan_.Compare(push, AddRising("fast", 4), Unit::kMessages);
  const auto rows = MeasureThrice();
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(std::count(order_.begin(), order_.end(), "push"), 3);
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[1].ratio, 0.25);
}

TEST_F(PlanTest, AFailedRunEndsItAndSaysWhose) {
  AddRising("push", 1);
  plan_.Add({"pull", [](absl::Duration) -> absl::StatusOr<Sample> {
               return absl::UnavailableError("gone");
             }});
  const auto rows = MeasureThrice();
  EXPECT_EQ(rows.status(), absl::UnavailableError("pull: gone"));
  EXPECT_THAT(order_, ElementsAre("push"));
}

}  // namespace
}  // namespace paramo::bench
