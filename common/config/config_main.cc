// What Config shows to people: help, tables, and the answers of ParseMain.
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/build.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "common/config/json.h"

namespace paramo {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kHelpColumn = 27;  // where the explanations start

// Appends `text` from column `at`, wrapped; continuation lines are indented to
// kHelpColumn. Words are never cut.
void AppendWrapped(std::string& out, size_t at, absl::string_view text) {
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const bool fresh = at <= kHelpColumn;
    if (!fresh && at + 1 + word.size() > kColumns) {
      absl::StrAppend(&out, "\n", std::string(kHelpColumn, ' '));
      at = kHelpColumn;
    } else if (!fresh) {
      absl::StrAppend(&out, " ");
      ++at;
    }
    absl::StrAppend(&out, word);
    at += word.size();
  }
  absl::StrAppend(&out, "\n");
}

std::string HelpLine(const Setting& setting) {
  std::string left =
      setting.positional
          ? absl::StrCat("  ", absl::AsciiStrToUpper(setting.name))
          : absl::StrCat("  --", setting.name, setting.unit.empty() ? "" : " ",
                         setting.unit);
  std::string text = setting.help;
  const bool says_nothing = setting.default_value.empty() ||
                            setting.default_value == "false" ||
                            setting.positional;
  if (!says_nothing) {
    absl::StrAppend(&text, " (default ", setting.default_value, ")");
  }
  if (left.size() + 2 > kHelpColumn) {
    absl::StrAppend(&left, "\n", std::string(kHelpColumn, ' '));
  } else {
    left.resize(kHelpColumn, ' ');
  }
  AppendWrapped(left, kHelpColumn, text);
  return left;
}

// What a person sees as the value; quotes only where it is empty.
std::string Shown(const Setting& setting) {
  return setting.value.empty() ? "\"\"" : Printable(setting.value);
}

}  // namespace

std::string Config::Help() const {
  std::string out =
      absl::StrCat(program_, ": ", summary_, "\n\nUsage: ", program_);
  bool flags = false;
  bool variables = false;
  for (const Setting& setting : settings_) {
    if (setting.positional) {
      const std::string name = absl::AsciiStrToUpper(setting.name);
      absl::StrAppend(&out, " ",
                      setting.optional ? absl::StrCat("[", name, "]") : name);
    }
    flags |= !setting.positional && !setting.hidden;
    variables |= !setting.flag_only && !setting.hidden;
  }
  absl::StrAppend(&out, flags ? " [FLAGS]" : "", "\n\n");
  for (const Setting& setting : settings_) {
    if (!setting.hidden) absl::StrAppend(&out, HelpLine(setting));
  }
  if (!examples_.empty()) absl::StrAppend(&out, "\nExamples:\n");
  for (const std::string& example : examples_) {
    absl::StrAppend(&out, "  ", example, "\n");
  }
  if (variables) {
    absl::StrAppend(&out,
                    "\nSettings may also be variables (--log-level is "
                    "PARAMO_LOG_LEVEL) or keys of a\nYAML file named by "
                    "--config. Also: --version, --check-config, "
                    "--show-config.\n");
  }
  return out;
}

std::string Config::Table(bool origin) const {
  size_t name_width = 0;
  size_t value_width = 0;
  auto shown = [](const Setting& s) { return !s.flag_only && !s.hidden; };
  for (const Setting& setting : settings_) {
    if (!shown(setting)) continue;
    name_width = std::max(name_width, setting.name.size());
    value_width = std::max(value_width, Shown(setting).size());
  }
  std::string out;
  for (const Setting& setting : settings_) {
    if (!shown(setting)) continue;
    std::string line = setting.name;
    line.resize(name_width + 2, ' ');
    absl::StrAppend(&line, Shown(setting));
    if (origin) {
      line.resize(std::max(line.size(), name_width + 2 + value_width) + 2, ' ');
      absl::StrAppend(&line, setting.origin);
    }
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

std::string Config::Json(bool origin) const {
  std::string out = "{";
  const char* separator = "";
  for (const Setting& setting : settings_) {
    if (setting.flag_only || setting.hidden) continue;
    absl::StrAppend(&out, separator, JsonString(setting.name), ": ");
    if (origin) {
      absl::StrAppend(&out, "{\"value\": ", JsonString(setting.value),
                      ", \"origin\": ", JsonString(setting.origin), "}");
    } else {
      absl::StrAppend(&out, JsonString(setting.value));
    }
    separator = ", ";
  }
  return out + "}\n";
}

std::optional<int> Config::ParseMain(int argc, char** argv) {
  return ParseMain(
      std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}

std::optional<int> Config::ParseMain(const std::vector<std::string>& args) {
  const absl::Status status = Parse(args, ParamoEnvironment());
  if (!status.ok()) {
    std::fprintf(stderr, "%s: %s\n", program_.c_str(),
                 std::string(status.message()).c_str());
    // Whoever asks for a check wants one answer, wherever the mistake is.
    const bool checking =
        std::find(args.begin(), args.end(), "--check-config") != args.end();
    return usage_error_ && !checking ? kExitUsage : kExitConfig;
  }
  for (const std::string& warning : warnings_) {
    std::fprintf(stderr, "%s: warning: %s\n", program_.c_str(),
                 warning.c_str());
  }
  if (help_) {
    std::fputs(Help().c_str(), stdout);
    return kExitOk;
  }
  if (version_) {
    std::printf("%s\n", kBuild);
    return kExitOk;
  }
  if (!show_config_.empty()) {
    const std::string text = show_config_ == "json"
                                 ? Json(/*origin=*/true)
                                 : Table(show_config_ != "values");
    std::fputs(text.c_str(), stdout);
    return kExitOk;
  }
  if (check_config_) {
    std::printf("%s: the configuration is valid\n", program_.c_str());
    return kExitOk;
  }
  return std::nullopt;
}

}  // namespace paramo
