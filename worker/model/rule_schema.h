// The servers' update rules by name, as job files may set them (docs/rules.md).
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace paramo {

// A rule's name and hyper-parameters.
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

// In order of name.
const std::vector<RuleSchema>& RuleSchemas();
const RuleSchema* FindRuleSchema(absl::string_view name);  // or null

}  // namespace paramo
