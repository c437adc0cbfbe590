// What a table adds to its rule: schedule, staleness, clipping, compensation;
// and that every rule goes on from a restored row as if nothing had happened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "tests/unit/server/table/table_test_util.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

ApplyResult ApplyOnes(TableShard& table, const PushStamp& stamp) {
  const TestPush push{{1}, {std::vector<float>(table.layout().dim(), 1)}};
  return table.Apply(push.keys, push.grads().data(), stamp);
}

TEST(TableSchedule, ScalesTheLearningRateByTheClockOfThePush) {
  TableConfig config = MakeConfig(1, "sgd", {{"lr", 1}});
  config.schedule = {
      .kind = Schedule::Kind::kStep, .warmup = 2, .period = 3, .decay = 0.5};
  TableShard table(config, 0);
  ApplyOnes(table, {.lsn = 1, .clock = 0});  // 1/2, also as a row is created
  EXPECT_THAT(Pull(table, {1}), ElementsAre(-0.5f));
  ApplyOnes(table, {.lsn = 2, .clock = 1});  // 1
  EXPECT_THAT(Pull(table, {1}), ElementsAre(-1.5f));
  ApplyOnes(table, {.lsn = 3, .clock = 5});  // t = 3: 1/2
  EXPECT_THAT(Pull(table, {1}), ElementsAre(-2));
  ApplyOnes(table, {.lsn = 4, .clock = 8});  // t = 6: 1/4
  EXPECT_THAT(Pull(table, {1}), ElementsAre(-2.25f));
  ApplyOnes(table, {.lsn = 5, .clock = 2});  // a straggler's own clock counts
  EXPECT_THAT(Pull(table, {1}), ElementsAre(-3.25f));
}

TEST(TableStaleness, DividesTheLearningRateOnlyIfAsked) {
  TableConfig config = MakeConfig(1, "sgd", {{"lr", 1}});
  TableShard plain(config, 0);
  ApplyOnes(plain, {.lsn = 1, .staleness = 3});
  EXPECT_THAT(Pull(plain, {1}), ElementsAre(-1));
  config.staleness_scaling = true;
  TableShard scaled(config, 0);
  ApplyOnes(scaled, {.lsn = 1, .staleness = 3});
  EXPECT_THAT(Pull(scaled, {1}), ElementsAre(-0.25f));
  ApplyOnes(scaled, {.lsn = 2, .staleness = 0});
  EXPECT_THAT(Pull(scaled, {1}), ElementsAre(-1.25f));
}

TEST(TableClipping, ActsOnTheSumOfDuplicates) {
  TableConfig config = MakeConfig(2, "sgd", {{"lr", 1}});
  config.clipping.norm = 5;
  TableShard table(config, 0);
  // Each is 5 long; their sum (6, 8) is 10 long.
  Apply(table, {{1, 1}, {{3, 4}, {3, 4}}}, 1);
  EXPECT_THAT(Pull(table, {1}), ElementsAre(-3, -4));
  Apply(table, {{1}, {{0, 2}}}, 2);
  EXPECT_THAT(Pull(table, {1}), ElementsAre(-3, -6));
}

TEST(TableCompensation, MeasuresAgainstTheRowAsItIs) {
  TableConfig config = MakeConfig(1, "sgd", {{"lr", 1}});
  config.delay_compensation = 1;
  config.initializer = {.kind = Initializer::Kind::kConstant, .a = 2};
  TableShard table(config, 0);
  // Rows of gradient, then pulled value. A missing row is at its initial value:
  // g = 1 + 1 x (2 - 1.5) = 1.5; w = 2 - 1.5.
  const TestPush first{{1}, {{1, 1.5f}}};
  table.Apply(first.keys, first.grads().data(),
              {.lsn = 1, .with_pulled = true});
  EXPECT_THAT(Pull(table, {1}), ElementsAre(0.5f));
  // g = -2 + 4 x (0.5 - 1) = -4; and key 2: -1 + 1 x (2 - 2).
  const TestPush second{{1, 2}, {{-2, 1}, {-1, 2}}};
  table.Apply(second.keys, second.grads().data(),
              {.lsn = 2, .with_pulled = true});
  EXPECT_THAT(Pull(table, {1, 2}), ElementsAre(4.5f, 3));
}

TEST(TableCompensation, PulledValuesAreCheckedToo) {
  TableShard table(MakeConfig(1), 0);
  const float row[] = {1, std::numeric_limits<float>::quiet_NaN()};
  const float* rows[] = {row};
  const Key key = 1;
  EXPECT_TRUE(table.CheckFinite({&key, 1}, rows).ok());
  EXPECT_FALSE(table.CheckFinite({&key, 1}, rows, /*with_pulled=*/true).ok());
}

class EveryRule : public testing::TestWithParam<std::string> {};

TEST_P(EveryRule, GoesOnFromARestoredRecord) {
  constexpr uint32_t kDim = 19;
  TableConfig config = MakeConfig(kDim, GetParam());
  config.initializer = {.kind = Initializer::Kind::kUniform, .a = 0.5};
  TableShard table(config, 0);
  BitGen gen(41);
  const auto random_push = [&gen] {
    TestPush push{{3, 1, 7}, {}};
    for (size_t i = 0; i < push.keys.size(); ++i) {
      push.rows.emplace_back();
      for (uint32_t j = 0; j < kDim; ++j) {
        push.rows.back().push_back(static_cast<float>(gen.Uniform() - 0.5));
      }
    }
    return push;
  };
  for (Lsn lsn = 1; lsn <= 5; ++lsn) Apply(table, random_push(), lsn);

  TableShard restored(config, 0);
  for (const auto& [key, record] : Records(table)) {
    EXPECT_EQ(record.size(),
              32 + 4 * (kDim + config.rule->info().SlotFloats(kDim)));
    ASSERT_TRUE(restored.Restore(record).ok());
  }
  const TestPush next = random_push();
  Apply(table, next, 6);
  Apply(restored, next, 6);
  EXPECT_EQ(Records(restored), Records(table));
}

std::vector<std::string> RuleNames() {
  std::vector<std::string> names;
  for (const RuleInfo& info : ListRules()) names.push_back(info.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Rules, EveryRule, testing::ValuesIn(RuleNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace paramo
