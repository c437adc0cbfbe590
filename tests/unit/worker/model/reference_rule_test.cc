#include "worker/model/reference_rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "common/base/random.h"
#include "server/rule/row_header.h"
#include "server/rule/rule.h"

namespace paramo {
namespace {

constexpr size_t kDim = 37;
constexpr int kSteps = 200;

// One row of a table under the servers' rule.
class ServedRow {
 public:
  ServedRow(const std::string& rule,
            const std::map<std::string, double>& params)
      : rule_(MakeRule(rule, params).value()),
        bytes_((sizeof(RowHeader) +
                kDim * 4 * (1 + rule_->info().slots.size()) + 7) /
               8) {}

  void Set(const std::vector<float>& values) {
    std::memcpy(row() + sizeof(RowHeader), values.data(), kDim * 4);
  }
  void Apply(const std::vector<float>& gradient) {
    std::byte* rows[] = {row()};
    const float* gradients[] = {gradient.data()};
    RuleBatch batch;
    batch.dim = kDim;
    batch.rows = rows;
    batch.grads = gradients;
    batch.n = 1;
    ASSERT_EQ(rule_->Apply(batch), 0u);
  }
  std::vector<float> values() {
    std::vector<float> values(kDim);
    std::memcpy(values.data(), row() + sizeof(RowHeader), kDim * 4);
    return values;
  }

 private:
  std::byte* row() { return reinterpret_cast<std::byte*>(bytes_.data()); }

  std::unique_ptr<Rule> rule_;
  std::vector<uint64_t> bytes_;
};

std::vector<float> RandomRow(BitGen& random) {
  std::vector<float> row(kDim);
  for (float& value : row) value = static_cast<float>(random.Uniform() - 0.5);
  return row;
}

void ExpectSameAsServers(const std::string& rule,
                         const std::map<std::string, double>& params) {
  BitGen random(11);
  std::vector<float> values = RandomRow(random);
  ServedRow served(rule, params);
  served.Set(values);
  ReferenceRule reference(rule, params, kDim);
  for (int step = 0; step < kSteps; ++step) {
    std::vector<float> gradient = RandomRow(random);
    served.Apply(gradient);
    reference.Apply(gradient, absl::MakeSpan(values));
    ASSERT_EQ(values, served.values()) << rule << " step " << step;
  }
}

TEST(ReferenceRule, SgdEqualsTheServers) {
  ExpectSameAsServers("sgd", {});
  ExpectSameAsServers("sgd", {{"lr", 0.3}});
}
TEST(ReferenceRule, MomentumEqualsTheServers) {
  ExpectSameAsServers("momentum", {});
  ExpectSameAsServers("momentum", {{"lr", 0.05}, {"momentum", 0.5}});
}
TEST(ReferenceRule, AdagradEqualsTheServers) {
  ExpectSameAsServers("adagrad", {});
  ExpectSameAsServers("adagrad", {{"lr", 0.1}, {"eps", 1e-3}});
}
TEST(ReferenceRule, AdamEqualsTheServers) {
  ExpectSameAsServers("adam", {});
  ExpectSameAsServers(
      "adam", {{"lr", 0.01}, {"beta1", 0.8}, {"beta2", 0.99}, {"eps", 1e-6}});
}

// What a job file accepts, the servers accept.
TEST(ReferenceRule, SchemasAreThoseOfTheServers) {
  const std::vector<RuleInfo> served = ListRules();
  for (const RuleSchema& schema : RuleSchemas()) {
    auto info = std::find_if(
        served.begin(), served.end(),
        [&](const RuleInfo& rule) { return rule.name == schema.name; });
    ASSERT_NE(info, served.end()) << schema.name;
    for (const RuleSchema::Parameter& parameter : schema.parameters) {
      auto same = std::find_if(
          info->params.begin(), info->params.end(),
          [&](const RuleParam& p) { return p.name == parameter.name; });
      ASSERT_NE(same, info->params.end()) << schema.name << parameter.name;
      EXPECT_EQ(same->default_value, parameter.default_value)
          << schema.name << "." << parameter.name;
      EXPECT_GE(parameter.min, same->min) << schema.name << parameter.name;
      EXPECT_LE(parameter.max, same->max) << schema.name << parameter.name;
    }
  }
}

TEST(ReferenceRule, FindsNoRuleByAnotherName) {
  EXPECT_EQ(FindRuleSchema("SGD"), nullptr);
  EXPECT_EQ(FindRuleSchema(""), nullptr);
}

}  // namespace
}  // namespace paramo
