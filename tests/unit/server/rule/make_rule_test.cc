#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/rule/rule.h"

namespace paramo {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Refusal(const std::string& name,
                    const std::map<std::string, double>& params) {
  const auto rule = MakeRule(name, params);
  EXPECT_EQ(rule.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(rule.status().message());
}

TEST(MakeRule, UnknownRuleNamesAllAndTheNearest) {
  EXPECT_THAT(
      Refusal("adagard", {}),
      AllOf(HasSubstr("unknown rule \"adagard\""),
            HasSubstr("did you mean \"adagrad\"?"),
            HasSubstr("rules: adagrad, adam, adamw, ftrl, momentum, nesterov, "
                      "rmsprop, rowwise_adagrad, sgd")));
  EXPECT_THAT(Refusal("", {}), HasSubstr("rules: "));
}

TEST(MakeRule, UnknownParameterNamesAllAndTheNearest) {
  EXPECT_THAT(Refusal("adam", {{"beta_1", 0.9}}),
              AllOf(HasSubstr("did you mean \"beta1\"?"),
                    HasSubstr("parameters: lr, beta1, beta2, eps")));
}

TEST(MakeRule, RefusedNamesAreEscapedAndCut) {
  const std::string refusal = Refusal(std::string(100000, '\n'), {});
  EXPECT_EQ(refusal.find('\n'), std::string::npos);
  EXPECT_LT(refusal.size(), 4096u);
}

TEST(MakeRule, OutOfRangeValueNamesTheRange) {
  EXPECT_THAT(Refusal("momentum", {{"momentum", 1}}),
              AllOf(HasSubstr("momentum = 1"), HasSubstr("[0, 1)")));
  EXPECT_THAT(Refusal("sgd", {{"lr", -0.1}}), HasSubstr("[0, 1e+06]"));
}

TEST(MakeRule, RulesAreListedInOrderOfName) {
  const std::vector<RuleInfo> rules = ListRules();
  EXPECT_TRUE(std::is_sorted(
      rules.begin(), rules.end(),
      [](const RuleInfo& x, const RuleInfo& y) { return x.name < y.name; }));
  EXPECT_GE(rules.size(), 9u);
}

}  // namespace
}  // namespace paramo
