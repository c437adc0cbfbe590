// What makes a TableSpec valid, and how two of them differ. Pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace paramo {
namespace v1 {
class NonFinite;
class TableSpec;
class UpdateRule;
}  // namespace v1

// What the coordinator needs to know of an update rule. It holds no rules
// itself; the main hands it the check (`RuleCheck`).
struct CheckedRule {
  std::string
      slots;  // what rows hold besides the value; equal text, equal rows
  std::map<std::string, double> params;  // all of them, defaults filled in
};

// INVALID_ARGUMENT for unknown rules and parameters and values out of range.
using RuleCheck = std::function<absl::StatusOr<CheckedRule>(
    absl::string_view name, const std::map<std::string, double>& params)>;

// Checks every field and fills in what was left to defaults (rule parameters,
// fans of a tensor's xavier), so that equal tables have equal specs.
// Errors: INVALID_ARGUMENT, with the field and its range
absl::Status NormaliseTableSpec(const RuleCheck& check, v1::TableSpec* spec);

// The parts of it that can also be altered. Returns the slots.
absl::StatusOr<std::string> NormaliseRule(const RuleCheck& check,
                                          v1::UpdateRule* rule);
absl::Status ValidateNonFinite(const v1::NonFinite& non_finite);
// Clipping, schedule, delay compensation.
absl::Status ValidateGradientOptions(const v1::TableSpec& spec);

// "dim: 64 there, 32 asked; rule.name: sgd there, adam asked"; empty when they
// are equal. Both normalised.
std::string DescribeDifference(const v1::TableSpec& there,
                               const v1::TableSpec& asked);

}  // namespace paramo
