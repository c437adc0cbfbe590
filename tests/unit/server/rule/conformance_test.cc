// What every rule must do. A new rule is tested here by being listed.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

// Of every magnitude that training meets, some zeros and denormals too.
float RandomFloat(BitGen& gen) {
  const double unit = 2 * gen.Uniform() - 1;
  switch (gen.Below(16)) {
    case 0:
      return 0;
    case 1:
      return static_cast<float>(unit * 1e-40);
    default:
      return static_cast<float>(
          std::ldexp(unit, static_cast<int>(gen.Below(30)) - 20));
  }
}

void FillRows(BitGen& gen, TestRows& rows) {
  for (size_t i = 0; i < rows.n(); ++i) {
    rows.header(i) = {.key = gen.Next(),
                      .lsn = gen.Next(),
                      .last_use = 3,
                      .count = 4,
                      .snapshot_generation = 5,
                      .step = static_cast<uint32_t>(gen.Below(4))};
    for (size_t j = 0; j < rows.dim() + rows.slot_floats(); ++j) {
      // Slots may hold means of squares: not negative.
      const float x = RandomFloat(gen);
      rows.array(i, 0)[j] = j < rows.dim() ? x : std::fabs(x);
    }
  }
}

void FillGrads(BitGen& gen, size_t n, uint32_t dim, TestGrads& grads) {
  for (size_t i = 0; i < n; ++i) {
    for (uint32_t j = 0; j < dim; ++j) grads.Set(i, j, RandomFloat(gen));
  }
}

class RuleConformance : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Rule> rule_ = MustMake(GetParam());
  size_t SlotFloats(uint32_t dim) const {
    return rule_->info().SlotFloats(dim);
  }
};

TEST_P(RuleConformance, EveryWidthEqualsScalarAtEveryTailAndAlignment) {
  constexpr uint32_t kWidest = 0;  // this machine's own width: Apply
  std::vector<uint32_t> dims = {100, 127, 128, 683, 2049, 4097};
  for (uint32_t dim = 1; dim <= 70; ++dim) dims.push_back(dim);
  for (const uint32_t lanes : {kWidest, 1u, 4u, 8u}) {
    BitGen gen(11);
    for (const uint32_t dim : dims) {
      constexpr size_t kRows = 7;  // more than are prefetched ahead
      TestRows vector(kRows, dim, SlotFloats(dim));
      FillRows(gen, vector);
      TestRows scalar(vector);
      for (size_t misalignment = 0; misalignment < 4; ++misalignment) {
        TestGrads grads(kRows, dim, misalignment);
        FillGrads(gen, kRows, dim, grads);
        const RuleBatch batch{.dim = dim,
                              .rows = vector.rows(),
                              .grads = grads.grads(),
                              .n = kRows,
                              .lr_scale = misalignment == 0 ? 1 : 0.3};
        RuleBatch twin = batch;
        twin.rows = scalar.rows();
        EXPECT_EQ(lanes == kWidest ? rule_->Apply(batch)
                                   : rule_->ApplyAtWidth(batch, lanes),
                  0u);
        EXPECT_EQ(rule_->ApplyScalar(twin), 0u);
        ASSERT_EQ(vector.bytes(), scalar.bytes())
            << "dim " << dim << " lanes " << lanes;
      }
    }
  }
}

TEST_P(RuleConformance, ScaleScalesTheStep) {
  // Every rule moves values in proportion to its learning rate, and by nothing
  // at 0. The exact bits are golden_test.cc's.
  constexpr uint32_t kElements = 19;
  BitGen gen(15);
  TestRows rows(1, kElements, SlotFloats(kElements));
  TestGrads grads(1, kElements);
  const auto step = [&](TestRows& at, double lr_scale) {
    rule_->Apply({.dim = kElements,
                  .rows = at.rows(),
                  .grads = grads.grads(),
                  .n = 1,
                  .lr_scale = lr_scale});
  };
  for (int i = 0; i < 3; ++i) {  // to a state that gradients have made
    FillGrads(gen, 1, kElements, grads);
    step(rows, 1);
  }
  FillGrads(gen, 1, kElements, grads);
  TestRows full(rows), quarter(rows), none(rows);
  step(full, 1);
  step(quarter, 0.25);
  step(none, 0);
  for (uint32_t j = 0; j < kElements; ++j) {
    const float value = rows.array(0, 0)[j];
    const float moved = full.array(0, 0)[j] - value;
    const float tolerance = 1e-6f * (std::fabs(value) + std::fabs(moved));
    EXPECT_NEAR(quarter.array(0, 0)[j], value + moved / 4, tolerance) << j;
    EXPECT_NEAR(none.array(0, 0)[j], value, tolerance) << j;
  }
}

TEST_P(RuleConformance, BatchEqualsRowByRow) {
  BitGen gen(12);
  TestRows together(20, 19, SlotFloats(19));
  FillRows(gen, together);
  TestRows single(together);
  TestGrads grads(20, 19);
  FillGrads(gen, 20, 19, grads);
  rule_->Apply(
      {.dim = 19, .rows = together.rows(), .grads = grads.grads(), .n = 20});
  for (size_t i = 20; i-- > 0;) {
    rule_->Apply({.dim = 19,
                  .rows = single.rows() + i,
                  .grads = grads.grads() + i,
                  .n = 1});
  }
  EXPECT_EQ(together.bytes(), single.bytes());
}

TEST_P(RuleConformance, TouchesOnlyValueSlotsAndStep) {
  BitGen gen(13);
  TestRows rows(3, 5, SlotFloats(5));
  FillRows(gen, rows);
  TestRows before(rows);
  TestGrads grads(3, 5);
  FillGrads(gen, 3, 5, grads);
  rule_->Apply({.dim = 5, .rows = rows.rows(), .grads = grads.grads(), .n = 3});
  const size_t record = sizeof(RowHeader) + 4 * (5 + SlotFloats(5));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(
        std::memcmp(rows.row(i), before.row(i), offsetof(RowHeader, step)), 0);
    const auto now = rows.RowBytes(i), then = before.RowBytes(i);
    EXPECT_NE(now, then);
    EXPECT_TRUE(
        std::equal(now.begin() + record, now.end(), then.begin() + record))
        << "wrote behind the record";
  }
}

TEST_P(RuleConformance, NonFiniteGradientLeavesItsRowUnchanged) {
  BitGen gen(14);
  for (const uint32_t dim : {1, 8, 19}) {
    for (uint32_t element = 0; element < dim; ++element) {
      for (const float bad : {kNaN, kInfinity, -kInfinity}) {
        TestRows rows(3, dim, SlotFloats(dim));
        FillRows(gen, rows);
        TestRows before(rows);
        TestGrads grads(3, dim);
        FillGrads(gen, 3, dim, grads);
        for (size_t i = 0; i < 3; ++i) grads.Set(i, 0, 1);  // all must move
        grads.Set(1, element, bad);
        TestRows scalar(rows);
        bool skipped[3] = {};
        EXPECT_EQ(rule_->Apply({.dim = dim,
                                .rows = rows.rows(),
                                .grads = grads.grads(),
                                .n = 3,
                                .skipped = skipped}),
                  1u);
        EXPECT_THAT(skipped, testing::ElementsAre(false, true, false));
        EXPECT_EQ(rows.RowBytes(1), before.RowBytes(1));
        EXPECT_NE(rows.RowBytes(0), before.RowBytes(0));
        EXPECT_NE(rows.RowBytes(2), before.RowBytes(2));
        EXPECT_EQ(rule_->ApplyScalar({.dim = dim,
                                      .rows = scalar.rows(),
                                      .grads = grads.grads(),
                                      .n = 3}),
                  1u);
        EXPECT_EQ(scalar.bytes(), rows.bytes());
      }
    }
  }
}

TEST_P(RuleConformance, OverflowLeavesTheRowUnchanged) {
  // A finite gradient that carries the largest value beyond the end.
  for (const uint32_t dim : {1, 8, 9}) {
    for (uint32_t element = 0; element < dim; ++element) {
      TestRows rows(1, dim, SlotFloats(dim));
      rows.array(0, 0)[element] = kLargest;
      TestRows before(rows);
      TestGrads grads(1, dim);
      grads.Set(0, element, -kLargest);
      EXPECT_EQ(rule_->Apply({.dim = dim,
                              .rows = rows.rows(),
                              .grads = grads.grads(),
                              .n = 1}),
                1u);
      EXPECT_EQ(rows.bytes(), before.bytes());
    }
  }
}

TEST_P(RuleConformance, MovesAgainstTheGradient) {
  TestRows rows(1, 2, SlotFloats(2));
  TestGrads grads(1, 2);
  grads.Set(0, 0, 1);
  grads.Set(0, 1, -1);
  rule_->Apply({.dim = 2, .rows = rows.rows(), .grads = grads.grads(), .n = 1});
  EXPECT_LT(rows.array(0, 0)[0], 0);
  EXPECT_GT(rows.array(0, 0)[1], 0);
}

TEST_P(RuleConformance, EmptyBatchIsNothing) {
  EXPECT_EQ(rule_->Apply({.dim = 4}), 0u);
  EXPECT_EQ(rule_->ApplyScalar({.dim = 4}), 0u);
}

TEST_P(RuleConformance, RefusesHyperParametersOutsideTheirRange) {
  for (const RuleParam& param : rule_->info().params) {
    EXPECT_FALSE(param.help.empty()) << param.name;
    std::vector<double> bad = {std::numeric_limits<double>::quiet_NaN(),
                               std::numeric_limits<double>::infinity(),
                               -std::numeric_limits<double>::infinity(),
                               -1.0,
                               std::nextafter(param.min, -1.0),
                               std::nextafter(param.max, 1e300)};
    if (param.below_max) {
      bad.push_back(param.max);
      bad.push_back(std::nextafter(param.max, 0.0));  // rounds to max in f32
    }
    for (const double value : bad) {
      const auto rule = MakeRule(GetParam(), {{param.name, value}});
      EXPECT_EQ(rule.status().code(), absl::StatusCode::kInvalidArgument)
          << param.name << " = " << value;
    }
    std::vector<double> good = {param.default_value, param.min};
    if (!param.below_max) good.push_back(param.max);
    for (const double value : good) {
      EXPECT_TRUE(MakeRule(GetParam(), {{param.name, value}}).ok())
          << param.name << " = " << value;
    }
  }
}

std::vector<std::string> RuleNames() {
  std::vector<std::string> names;
  for (const RuleInfo& info : ListRules()) names.push_back(info.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Rules, RuleConformance, testing::ValuesIn(RuleNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace paramo
