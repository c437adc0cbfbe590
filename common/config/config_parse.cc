// Config, the parsing half: gathers the sources and applies them, the weakest
// first.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/arguments.h"
#include "common/config/config.h"
#include "common/config/yaml.h"

namespace paramo {
namespace {

constexpr absl::string_view kPrefix = "PARAMO_";

// The text of a YAML value: a scalar, or a list of scalars where the setting
// takes several.
absl::StatusOr<std::string> YamlValue(const Setting& setting,
                                      const YamlNode& node) {
  if (setting.is_list && node.kind == YamlNode::Kind::kList) {
    std::vector<std::string> parts;
    for (const YamlNode& item : node.items) {
      PARAMO_ASSIGN_OR_RETURN(std::string part, YamlText(item));
      if (absl::StrContains(part, ',')) {
        return item.Error("holds a comma; write one value per item");
      }
      parts.push_back(std::move(part));
    }
    return absl::StrJoin(parts, ",");
  }
  PARAMO_ASSIGN_OR_RETURN(std::string text, YamlText(node));
  if (node.quoted && !setting.is_text) {
    return node.Error(absl::StrCat("\"", Printable(text, 64),
                                   "\" is text; write it without quotes"));
  }
  return text;
}

}  // namespace

Environment ParamoEnvironment() {
  Environment found;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const absl::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == absl::string_view::npos || !absl::StartsWith(text, kPrefix)) {
      continue;
    }
    found.emplace(std::string(text.substr(0, equals)),
                  std::string(text.substr(equals + 1)));
  }
  return found;
}

absl::Status Config::Apply(Setting& setting, absl::string_view text,
                           std::string origin, absl::string_view context) {
  PARAMO_RETURN_IF_ERROR(Annotate(CheckText(text), context));
  PARAMO_RETURN_IF_ERROR(Annotate(setting.apply(text), context));
  setting.value = std::string(text);
  setting.origin = std::move(origin);
  setting.given = true;
  return absl::OkStatus();
}

absl::Status Config::ApplyFile(const std::string& file) {
  PARAMO_ASSIGN_OR_RETURN(YamlNode root, ParseYamlFile(file));
  if (root.kind != YamlNode::Kind::kMap) {
    return root.Error("expected settings, one `name: value` per line");
  }
  std::vector<std::string> known;
  for (const Setting& setting : settings_) {
    if (!setting.flag_only) known.push_back(setting.name);
  }
  for (size_t i = 0; i < root.keys.size(); ++i) {
    const YamlNode& node = root.items[i];
    auto setting = std::find_if(
        settings_.begin(), settings_.end(), [&](const Setting& candidate) {
          return candidate.name == root.keys[i] && !candidate.flag_only &&
                 candidate.name != "config";
        });
    if (setting == settings_.end()) {
      const std::string suggestion = Suggest(root.keys[i], known);
      return node.Error(absl::StrCat(
          "unknown setting of ", program_,
          suggestion.empty() ? "; --help lists those there are" : suggestion));
    }
    PARAMO_ASSIGN_OR_RETURN(std::string text, YamlValue(*setting, node));
    PARAMO_RETURN_IF_ERROR(Apply(*setting, text, node.where,
                                 absl::StrCat(node.where, ": ", node.path)));
  }
  return absl::OkStatus();
}

absl::Status Config::ApplyEnvironment(const Environment& environment) {
  std::vector<std::string> known;
  for (Setting& setting : settings_) {
    if (setting.flag_only) continue;
    const std::string variable = setting.Variable();
    known.push_back(variable);
    auto found = environment.find(variable);
    if (found == environment.end() || found->second.empty() ||
        setting.name == "config") {
      continue;
    }
    if (found->second.size() > kArgumentBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          variable, ": longer than ", kArgumentBytesMax, " bytes"));
    }
    PARAMO_RETURN_IF_ERROR(Apply(setting, found->second, variable, variable));
  }
  for (const auto& entry : environment) {
    // Two letters at most: other components' variables are no misspellings.
    if (std::find(known.begin(), known.end(), entry.first) != known.end()) {
      continue;
    }
    const std::string suggestion = Suggest(entry.first, known, /*edits_max=*/2);
    if (!suggestion.empty()) {
      warnings_.push_back(absl::StrCat("variable ", Printable(entry.first, 64),
                                       " is not used", suggestion));
    }
  }
  return absl::OkStatus();
}

absl::Status Config::Parse(const std::vector<std::string>& args,
                           const Environment& environment) {
  std::vector<ArgumentSpec> specs;
  for (const Setting& setting : settings_) {
    specs.push_back({setting.name, setting.unit.empty(), setting.is_list,
                     setting.positional});
  }
  usage_error_ = true;
  PARAMO_ASSIGN_OR_RETURN(Arguments given, ParseArguments(args, specs));
  usage_error_ = false;
  // The file's name comes first, since all else may come from the file.
  auto file = environment.find("PARAMO_CONFIG");
  if (given.count("config") != 0) {
    config_file_ = given["config"].front();
  } else if (file != environment.end()) {
    config_file_ = file->second;
  }
  // Help must work whatever the file says.
  if (given.count("help") == 0 && given.count("version") == 0) {
    if (!config_file_.empty() && reads_file_) {
      PARAMO_RETURN_IF_ERROR(ApplyFile(config_file_));
    }
    PARAMO_RETURN_IF_ERROR(ApplyEnvironment(environment));
  }
  usage_error_ = true;
  for (Setting& setting : settings_) {
    auto values = given.find(setting.name);
    if (values == given.end()) continue;
    const std::string context = setting.positional
                                    ? absl::AsciiStrToUpper(setting.name)
                                    : absl::StrCat("--", setting.name);
    PARAMO_RETURN_IF_ERROR(
        Apply(setting, absl::StrJoin(values->second, ","), "flag", context));
  }
  if (help_ || version_) return absl::OkStatus();
  for (const Setting& setting : settings_) {
    if (setting.positional && !setting.optional && !setting.given) {
      return absl::InvalidArgumentError(absl::StrCat(
          absl::AsciiStrToUpper(setting.name), " is missing: ", setting.help));
    }
  }
  // A rule over flags alone is broken by whoever typed them.
  usage_error_ = std::all_of(
      settings_.begin(), settings_.end(), [](const Setting& setting) {
        return !setting.given || setting.origin == "flag";
      });
  // Showing must work while something required is still missing.
  if (!show_config_.empty()) return absl::OkStatus();
  for (const auto& rule : rules_) PARAMO_RETURN_IF_ERROR(rule());
  return absl::OkStatus();
}

}  // namespace paramo
