#include "worker/model/reference_rule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "common/base/random.h"
#include "server/rule/row_header.h"
#include "server/rule/rule.h"
#include "worker/model/rule_schema.h"

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
  ReferenceRule reference(rule, params, /*rows=*/1, kDim);
  for (int step = 0; step < kSteps; ++step) {
    std::vector<float> gradient = RandomRow(random);
    served.Apply(gradient);
    reference.Apply(0, gradient, absl::MakeSpan(values));
    ASSERT_EQ(values, served.values()) << rule << " step " << step;
  }
}

TEST(ReferenceRule, EveryRuleEqualsTheServers) {
  for (const RuleSchema& schema : RuleSchemas()) {
    ExpectSameAsServers(schema.name, {});
    ExpectSameAsServers(schema.name, {{"lr", 0.3}});
  }
}
TEST(ReferenceRule, HyperParametersAreThoseOfTheServers) {
  ExpectSameAsServers("adagrad", {{"eps", 1e-3}});
  ExpectSameAsServers("adam", {{"beta1", 0.8}, {"beta2", 0.99}, {"eps", 1e-6}});
  ExpectSameAsServers("adamw", {{"weight_decay", 0.2}, {"beta1", 0.8}});
  ExpectSameAsServers("ftrl", {{"beta", 0.5}, {"l1", 0.1}, {"l2", 0.2}});
  ExpectSameAsServers("momentum", {{"momentum", 0.5}});
  ExpectSameAsServers("nesterov", {{"momentum", 0.5}});
  ExpectSameAsServers("rmsprop", {{"rho", 0.5}, {"eps", 1e-3}});
  ExpectSameAsServers("rowwise_adagrad", {{"eps", 1e-3}});
}

std::vector<float> ReadFloats(std::istringstream& line) {
  std::vector<float> floats;
  for (std::string word; line >> word;) {
    const auto bits =
        static_cast<uint32_t>(std::strtoul(word.c_str(), nullptr, 16));
    float value;
    std::memcpy(&value, &bits, sizeof value);
    floats.push_back(value);
  }
  return floats;
}

// tests/golden/make_rules.py says what the lines hold.
struct GoldenCase {
  std::string rule;
  ReferenceRule::Parameters parameters;
  size_t dim = 0;
  double scale = 1;

  explicit GoldenCase(std::istringstream& line) {
    std::string word;
    line >> rule >> word >> dim >> word >> word >> word >> scale;
    while (line >> word) {
      const size_t equals = word.find('=');
      parameters[word.substr(0, equals)] =
          std::strtod(word.c_str() + equals + 1, nullptr);
    }
  }
};

// Slots are seen through the values that they lead to: a case has 5 steps at
// least, and those after the first are made with them.
TEST(ReferenceRule, EveryRuleMatchesTheGoldenVectorsBitForBit) {
  std::ifstream file(PARAMO_SOURCE_DIR "/tests/golden/rules.txt");
  std::set<std::string> seen;
  std::unique_ptr<GoldenCase> golden;
  std::unique_ptr<ReferenceRule> rule;
  std::vector<float> values;
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    std::string kind;
    line >> kind;
    if (kind == "case") {
      golden = std::make_unique<GoldenCase>(line);
      rule = std::make_unique<ReferenceRule>(golden->rule, golden->parameters,
                                             /*rows=*/1, golden->dim);
    } else if (kind == "w") {
      values = ReadFloats(line);
    } else if (kind == "g") {
      rule->Apply(0, ReadFloats(line), absl::MakeSpan(values), golden->scale);
    } else if (kind == "w'") {
      EXPECT_EQ(values, ReadFloats(line)) << golden->rule;
      seen.insert(golden->rule);
    }
  }
  for (const RuleSchema& schema : RuleSchemas()) {
    EXPECT_EQ(seen.count(schema.name), 1u) << schema.name;
  }
}

// Rows of their own: adam's step count of a row moves with that row only.
TEST(ReferenceRule, ARowAloneIsStepped) {
  for (const RuleSchema& schema : RuleSchemas()) {
    ReferenceRule table(schema.name, {{"lr", 0.1}}, /*rows=*/3, /*dim=*/2);
    ReferenceRule row(schema.name, {{"lr", 0.1}}, /*rows=*/1, /*dim=*/2);
    std::vector<float> in_table = {1, 2}, alone = {1, 2}, other = {5, 5};
    const std::vector<float> gradient = {0.5f, -0.25f};
    table.Apply(0, gradient, absl::MakeSpan(other));
    for (int step = 0; step < 3; ++step) {
      table.Apply(2, gradient, absl::MakeSpan(in_table));
      row.Apply(0, gradient, absl::MakeSpan(alone));
      EXPECT_EQ(in_table, alone) << schema.name;
    }
  }
}

// The last row of a tensor: its unused elements have gradients of 0.
TEST(ReferenceRule, AShortRowIsOneWithZerosBehindIt) {
  for (const RuleSchema& schema : RuleSchemas()) {
    ReferenceRule full(schema.name, {}, /*rows=*/1, /*dim=*/4);
    ReferenceRule part(schema.name, {}, /*rows=*/1, /*dim=*/4);
    std::vector<float> whole = {1, 2, 0, 0}, cut = {1, 2};
    for (int step = 0; step < 3; ++step) {
      full.Apply(0, std::vector<float>{0.5f, -0.25f, 0, 0},
                 absl::MakeSpan(whole));
      part.Apply(0, std::vector<float>{0.5f, -0.25f}, absl::MakeSpan(cut));
    }
    EXPECT_EQ(cut, std::vector<float>(whole.begin(), whole.begin() + 2))
        << schema.name;
  }
}

// What a job file accepts, the servers accept.
TEST(ReferenceRule, SchemasAreThoseOfTheServers) {
  const std::vector<RuleInfo> served = ListRules();
  EXPECT_EQ(RuleSchemas().size(), served.size());
  for (const RuleSchema& schema : RuleSchemas()) {
    auto info = std::find_if(
        served.begin(), served.end(),
        [&](const RuleInfo& rule) { return rule.name == schema.name; });
    ASSERT_NE(info, served.end()) << schema.name;
    EXPECT_EQ(schema.parameters.size(), info->params.size()) << schema.name;
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
