// The update rules once more, for the reference run: plain scalar loops over
// whole tensors, written from the papers and not from the servers' code, so
// that the comparison of both means something.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace paramo {

// A rule's name and hyper-parameters, as job files may set them.
struct RuleSchema {
  struct Parameter {
    const char* name;
    double default_value;
    double min;  // inclusive
    double max;  // inclusive
  };
  const char* name;
  std::vector<Parameter> parameters;
};

const std::vector<RuleSchema>& RuleSchemas();
const RuleSchema* FindRuleSchema(absl::string_view name);  // or null

// One tensor's optimizer: the rule and its memory of past gradients.
class ReferenceRule {
 public:
  // `rule` is one of RuleSchemas(); parameters left out take their defaults.
  ReferenceRule(const std::string& rule,
                const std::map<std::string, double>& parameters,
                size_t elements);

  // One step. Shapes: gradient and values [elements].
  void Apply(absl::Span<const float> gradient, absl::Span<float> values);

  // One step of row `row` alone; adam counts the steps of each row.
  // Shapes: gradient and values [dim]; elements is a multiple of dim.
  void ApplyRow(size_t row, absl::Span<const float> gradient,
                absl::Span<float> values);

 private:
  float Parameter(const char* name) const;
  // Elements [begin, begin + values.size()) of the memory; `step` from 1.
  void Step(size_t begin, uint32_t step, absl::Span<const float> gradient,
            absl::Span<float> values);

  std::string rule_;
  std::map<std::string, double> parameters_;
  std::vector<float> first_;   // momentum's velocity, adagrad's sum, adam's m
  std::vector<float> second_;  // adam's v
  float lr_ = 0;
  float keep_ = 0;  // momentum's
  float eps_ = 0;
  uint32_t step_ = 0;
  std::vector<uint32_t> row_steps_;
};

}  // namespace paramo
