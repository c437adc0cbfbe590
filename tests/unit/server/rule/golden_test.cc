// Rules against tests/golden/rules.txt, which make_rules.py worked out
// independently.
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/unit/server/rule/rule_test_util.h"

namespace paramo {
namespace {

struct GoldenCase {
  std::string rule;
  std::map<std::string, double> params;
  uint32_t dim = 0;
  std::vector<uint32_t> before;
  std::vector<std::vector<uint32_t>> grads;
  std::vector<uint32_t> after;  // value, then slots
  double scale = 1;
};

std::vector<uint32_t> ReadWords(std::istringstream& line) {
  std::vector<uint32_t> words;
  for (std::string word; line >> word;) {
    words.push_back(
        static_cast<uint32_t>(std::strtoul(word.c_str(), nullptr, 16)));
  }
  return words;
}

std::vector<GoldenCase> ReadCases() {
  std::ifstream file(PARAMO_SOURCE_DIR "/tests/golden/rules.txt");
  std::vector<GoldenCase> cases;
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    std::string kind;
    line >> kind;
    if (kind == "case") {
      GoldenCase golden;
      std::string word;
      line >> golden.rule >> word >> golden.dim >> word >> word >> word >>
          golden.scale;
      while (line >> word) {
        const size_t equals = word.find('=');
        golden.params[word.substr(0, equals)] =
            std::strtod(word.c_str() + equals + 1, nullptr);
      }
      cases.push_back(golden);
    } else if (kind == "w") {
      cases.back().before = ReadWords(line);
    } else if (kind == "g") {
      cases.back().grads.push_back(ReadWords(line));
    } else if (kind == "w'" || kind == "s'") {
      for (const uint32_t word : ReadWords(line)) {
        cases.back().after.push_back(word);
      }
    }
  }
  return cases;
}

void CheckCase(const GoldenCase& golden, bool scalar) {
  const auto rule = MustMake(golden.rule, golden.params);
  const size_t slot_floats = rule->info().SlotFloats(golden.dim);
  ASSERT_EQ(golden.after.size(), golden.dim + slot_floats);
  TestRows rows(1, golden.dim, slot_floats);
  const size_t bytes = golden.dim * sizeof(float);
  std::memcpy(rows.array(0, 0), golden.before.data(), bytes);
  for (const std::vector<uint32_t>& words : golden.grads) {
    std::vector<float> grad(golden.dim);
    std::memcpy(grad.data(), words.data(), bytes);
    const float* grads[] = {grad.data()};
    const RuleBatch batch{.dim = golden.dim,
                          .rows = rows.rows(),
                          .grads = grads,
                          .n = 1,
                          .lr_scale = golden.scale};
    EXPECT_EQ(scalar ? rule->ApplyScalar(batch) : rule->Apply(batch), 0u);
  }
  const auto* words = reinterpret_cast<const uint32_t*>(rows.array(0, 0));
  for (size_t i = 0; i < golden.after.size(); ++i) {
    ASSERT_EQ(words[i], golden.after[i])
        << golden.rule << (i < golden.dim ? " value, float " : " slots, float ")
        << i;
  }
}

TEST(RuleGolden, EveryRuleMatchesBitForBit) {
  const std::vector<GoldenCase> cases = ReadCases();
  std::set<std::string> seen;
  for (const GoldenCase& golden : cases) {
    CheckCase(golden, /*scalar=*/true);
    CheckCase(golden, /*scalar=*/false);
    seen.insert(golden.rule);
  }
  for (const RuleInfo& info : ListRules()) {
    EXPECT_EQ(seen.count(info.name), 1u)
        << info.name << " is missing: add it to make_rules.py";
  }
}

}  // namespace
}  // namespace paramo
