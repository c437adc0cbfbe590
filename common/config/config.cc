// Config, the declaring half: one function per type of setting.
#include "common/config/config.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {
namespace {

std::string Join(const std::vector<std::string>& parts) {
  return absl::StrJoin(parts, ",");
}

}  // namespace

std::string Setting::Variable() const {
  return absl::StrCat("PARAMO_", absl::AsciiStrToUpper(
                                     absl::StrReplaceAll(name, {{"-", "_"}})));
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

Setting& Config::Text(const char* name, std::string& target, const char* help) {
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
      return absl::InvalidArgumentError(
          absl::StrCat("`", Printable(text, 64), "` is not one of ",
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
  Setting& setting = Add(name, "TIME", absl::FormatDuration(target), help);
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
  setting.apply =
      [range, set = std::move(set)](absl::string_view text) -> absl::Status {
    PARAMO_ASSIGN_OR_RETURN(int64_t parsed, ParseInt(text, range));
    set(parsed);
    return absl::OkStatus();
  };
  return setting;
}

Setting& Config::AddSize(const char* name, int64_t value, IntRange range,
                         const char* help, std::function<void(int64_t)> set) {
  Setting& setting = Add(name, "SIZE", FormatSize(value), help);
  setting.apply =
      [range, set = std::move(set)](absl::string_view text) -> absl::Status {
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

}  // namespace paramo
