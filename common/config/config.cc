#include "common/config/config.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/arguments.h"
#include "common/config/yaml.h"

namespace paramo {
namespace {

constexpr absl::string_view kPrefix = "PARAMO_";

std::string Join(const std::vector<std::string>& parts) {
  return absl::StrJoin(parts, ",");
}

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
    return Join(parts);
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

std::string Setting::Variable() const {
  return absl::StrCat(
      kPrefix, absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}})));
}

Config::Config(std::string program, std::string summary)
    : program_(std::move(program)), summary_(std::move(summary)) {
  Text("config", config_file_, "read settings from this YAML file")
      .Unit("FILE")
      .Hidden();
  Switch("help", help_, "show this").FlagOnly().Hidden();
  Switch("version", version_, "show the version").FlagOnly().Hidden();
  Switch("check-config", check_config_, "check all settings, then exit")
      .FlagOnly()
      .Hidden();
  // A switch that may say how: --show-config=json.
  Choice("show-config", show_config_, {"true", "origin", "values", "json"},
         "show all settings and their origin")
      .Unit("")
      .FlagOnly()
      .Hidden();
}

Setting& Config::Add(const char* name, std::string unit, std::string value,
                     const char* help) {
  Setting& setting = settings_.emplace_back();
  setting.name = name;
  setting.unit = std::move(unit);
  setting.help = help;
  setting.value = value;
  setting.default_value = std::move(value);
  return setting;
}

Setting& Config::Text(const char* name, std::string& target,
                      const char* help) {
  Setting& setting = Add(name, "TEXT", target, help);
  setting.is_text = true;
  setting.apply = [&target](absl::string_view text) {
    target = std::string(text);
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::Choice(const char* name, std::string& target,
                        std::vector<std::string> choices, const char* help) {
  Setting& setting = Add(name, absl::StrJoin(choices, "|"), target, help);
  setting.is_text = true;
  setting.apply = [&target, choices = std::move(choices)](
                      absl::string_view text) -> absl::Status {
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "`", Printable(text, 64), "` is not one of ",
          absl::StrJoin(choices, ", "), Suggest(text, choices)));
    }
    target = std::string(text);
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::Switch(const char* name, bool& target, const char* help) {
  Setting& setting = Add(name, "", target ? "true" : "false", help);
  setting.apply = [&target](absl::string_view text) -> absl::Status {
    PARAMO_ASSIGN_OR_RETURN(target, ParseBool(text));
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::Number(const char* name, double& target, NumberRange range,
                        const char* help) {
  Setting& setting = Add(name, "NUMBER", absl::StrCat(target), help);
  setting.apply = [&target, range](absl::string_view text) -> absl::Status {
    PARAMO_ASSIGN_OR_RETURN(target, ParseNumber(text, range));
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::Duration(const char* name, absl::Duration& target,
                          DurationRange range, const char* help) {
  Setting& setting =
      Add(name, "TIME", absl::FormatDuration(target), help);
  setting.apply = [&target, range](absl::string_view text) -> absl::Status {
    PARAMO_ASSIGN_OR_RETURN(target, ParseDuration(text, range));
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::Address(const char* name, std::string& target,
                         const char* help) {
  Setting& setting = Add(name, "HOST:PORT", target, help);
  setting.is_text = true;
  setting.apply = [&target](absl::string_view text) -> absl::Status {
    PARAMO_RETURN_IF_ERROR(ParseHostPort(text).status());
    target = std::string(text);
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::Addresses(const char* name, std::vector<std::string>& target,
                           const char* help) {
  Setting& setting = Add(name, "HOST:PORT,...", Join(target), help);
  setting.is_text = true;
  setting.is_list = true;
  setting.apply = [&target](absl::string_view text) -> absl::Status {
    PARAMO_ASSIGN_OR_RETURN(target, ParseAddresses(text));
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::Texts(const char* name, std::vector<std::string>& target,
                       const char* help) {
  Setting& setting = Add(name, "TEXT", Join(target), help);
  setting.is_text = true;
  setting.is_list = true;
  setting.apply = [&target](absl::string_view text) {
    target.clear();
    for (absl::string_view part : absl::StrSplit(text, ',')) {
      target.emplace_back(part.data(), part.size());
    }
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::AddInt(const char* name, int64_t value, IntRange range,
                        const char* help, std::function<void(int64_t)> set) {
  Setting& setting = Add(name, "N", absl::StrCat(value), help);
  setting.apply = [range, set = std::move(set)](
                      absl::string_view text) -> absl::Status {
    PARAMO_ASSIGN_OR_RETURN(int64_t parsed, ParseInt(text, range));
    set(parsed);
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::AddSize(const char* name, int64_t value, IntRange range,
                         const char* help, std::function<void(int64_t)> set) {
  Setting& setting = Add(name, "SIZE", FormatSize(value), help);
  setting.apply = [range, set = std::move(set)](
                      absl::string_view text) -> absl::Status {
    PARAMO_ASSIGN_OR_RETURN(int64_t parsed, ParseSize(text, range));
    set(parsed);
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::Positional(const char* name, std::string& target,
                            const char* help) {
  Setting& setting = Text(name, target, help);
  setting.positional = true;
  setting.flag_only = true;
  return setting;
}

Setting& Config::OptionalPositional(const char* name, std::string& target,
                                    const char* help) {
  Setting& setting = Positional(name, target, help);
  setting.optional = true;
  return setting;
}

void Config::Example(std::string line) { examples_.push_back(std::move(line)); }

void Config::Check(std::function<absl::Status()> rule) {
  rules_.push_back(std::move(rule));
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
    PARAMO_RETURN_IF_ERROR(
        Apply(*setting, text, node.where,
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
      return absl::InvalidArgumentError(
          absl::StrCat(variable, ": longer than ", kArgumentBytesMax, " bytes"));
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
        Apply(setting, Join(values->second), "flag", context));
  }
  if (help_ || version_) return absl::OkStatus();
  for (const Setting& setting : settings_) {
    if (setting.positional && !setting.optional && !setting.given) {
      return absl::InvalidArgumentError(
          absl::StrCat(absl::AsciiStrToUpper(setting.name), " is missing: ",
                       setting.help));
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
