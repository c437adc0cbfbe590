#include "server/rule/rule.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/log.h"
#include "server/rule/registry.h"

namespace paramo {
namespace {

// The registry: one line per rule, in order of name.
constexpr RuleEntry (*kRules[])() = {
    AdagradEntry,  AdamEntry,    AdamwEntry,          FtrlEntry, MomentumEntry,
    NesterovEntry, RmspropEntry, RowwiseAdagradEntry, SgdEntry,
};

// Levenshtein distance, for suggestions. Both words are short: `text` is cut
// by the caller.
size_t EditDistance(const std::string& text, const std::string& word) {
  std::vector<size_t> row(word.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < text.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < word.size(); ++j) {
      const size_t replaced = diagonal + (text[i] == word[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// "; did you mean X?" when one of `words` is near, and the list in any case.
std::string Hint(const std::string& text, absl::string_view noun,
                 const std::vector<std::string>& words) {
  std::string hint;
  for (const std::string& word : words) {
    if (text.size() <= 64 && EditDistance(text, word) <= 2) {
      absl::StrAppend(&hint, "; did you mean \"", word, "\"?");
      break;
    }
  }
  return absl::StrCat(hint, " (", noun, ": ", absl::StrJoin(words, ", "), ")");
}

absl::Status CheckValue(const RuleInfo& info, const RuleParam& param,
                        double value) {
  const double rounded = static_cast<float>(value);
  const bool in_range = param.below_max
                            ? value < param.max && rounded < param.max
                            : value <= param.max;
  // Written so that NaN, for which every comparison is false, is refused.
  if (value >= param.min && in_range) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "rule ", info.name, ": ", param.name, " = ", value, " is outside [",
      param.min, ", ", param.max, param.below_max ? ")" : "]",
      " (values are rounded to f32); the default is ", param.default_value));
}

absl::StatusOr<RuleParamValues> ResolveParams(
    const RuleInfo& info, const std::map<std::string, double>& given) {
  RuleParamValues values;
  std::vector<std::string> names;
  for (const RuleParam& param : info.params) {
    values[param.name] = param.default_value;
    names.push_back(param.name);
  }
  for (const auto& [name, value] : given) {
    if (values.count(name) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("rule ", info.name, " has no parameter \"",
                       Printable(name), "\"", Hint(name, "parameters", names)));
    }
    values[name] = value;
  }
  for (const RuleParam& param : info.params) {
    const absl::Status status = CheckValue(info, param, values[param.name]);
    if (!status.ok()) return status;
  }
  return values;
}

}  // namespace

size_t RuleInfo::SlotFloats(uint32_t dim) const {
  size_t floats = 0;
  for (const RuleSlot& slot : slots) floats += slot.per_row ? 1 : dim;
  return floats;
}

std::string RuleInfo::SlotsText() const {
  if (slots.empty()) return "none";
  return absl::StrJoin(slots, ", ", [](std::string* out, const RuleSlot& slot) {
    absl::StrAppend(out, slot.name, slot.per_row ? "[1]" : "[dim]");
  });
}

absl::StatusOr<std::unique_ptr<Rule>> MakeRule(
    absl::string_view name, const std::map<std::string, double>& params) {
  std::vector<std::string> names;
  for (auto* entry_of : kRules) {
    const RuleEntry entry = entry_of();
    if (entry.info.name == name) {
      absl::StatusOr<RuleParamValues> values =
          ResolveParams(entry.info, params);
      if (!values.ok()) return values.status();
      return entry.make(entry.info, *values);
    }
    names.push_back(entry.info.name);
  }
  const std::string text(name.data(), name.size());
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown rule \"", Printable(name), "\"", Hint(text, "rules", names)));
}

std::vector<RuleInfo> ListRules() {
  std::vector<RuleInfo> rules;
  for (auto* entry_of : kRules) rules.push_back(entry_of().info);
  return rules;
}

}  // namespace paramo
