// The only file that sees CLI11. It does the cutting; values, environment,
// files and precedence are config.cc's, since CLI11 would let a file win over
// the environment.
#include "common/config/arguments.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/value.h"

namespace paramo {
namespace {

absl::Status CheckArguments(const std::vector<std::string>& args) {
  size_t bytes = 0;
  for (const std::string& arg : args) {
    bytes += arg.size();
    if (bytes > kArgumentBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("the command line has more than ", kArgumentBytesMax,
                       " bytes; put long settings into a --config file"));
    }
    PARAMO_RETURN_IF_ERROR(CheckText(arg));
  }
  return absl::OkStatus();
}

// What was written before any "=".
std::string FlagOf(const std::string& arg) {
  return arg.substr(0, arg.find('='));
}

absl::Status RefuseFlag(const std::string& flag,
                        const std::vector<ArgumentSpec>& specs) {
  std::vector<std::string> flags;
  for (const ArgumentSpec& spec : specs) {
    if (!spec.positional) flags.push_back(absl::StrCat("--", spec.name));
  }
  const std::string suggestion = Suggest(FlagOf(flag), flags);
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown flag `", Printable(FlagOf(flag), 64), "`",
      suggestion.empty() ? "; --help lists those there are" : suggestion));
}

// Hands what is no known flag to the positionals, in order. After a lone "--"
// everything is one.
absl::Status TakePositionals(const std::vector<std::string>& extras,
                             const std::vector<ArgumentSpec>& specs,
                             Arguments& given) {
  bool only_positionals = false;
  auto next = specs.begin();
  for (const std::string& extra : extras) {
    if (extra == "--" && !only_positionals) {
      only_positionals = true;
      continue;
    }
    if (!only_positionals && extra.size() > 1 && extra[0] == '-') {
      return RefuseFlag(extra, specs);
    }
    while (next != specs.end() && !next->positional) ++next;
    if (next == specs.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("unexpected argument `", Printable(extra, 64),
                       "`; --help shows what is taken"));
    }
    given[next->name].push_back(extra);
    ++next;
  }
  return absl::OkStatus();
}

// The values of one option, or an error about how often it was given. CLI11
// takes whatever follows a flag as its value, other flags included.
absl::StatusOr<std::vector<std::string>> Values(const CLI::Option& option,
                                                const ArgumentSpec& spec) {
  std::vector<std::string> values = option.results();
  if (values.size() > 1 && !spec.repeatable) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--", spec.name, " is given ", values.size(), " times; give it once"));
  }
  for (const std::string& value : values) {
    if (!spec.is_switch && absl::StartsWith(value, "--")) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", spec.name, " needs a value, found `", Printable(value, 64),
          "`; write --", spec.name, "=VALUE if that is what you mean"));
    }
  }
  return values;
}

}  // namespace

absl::StatusOr<Arguments> ParseArguments(
    const std::vector<std::string>& args,
    const std::vector<ArgumentSpec>& specs) {
  PARAMO_RETURN_IF_ERROR(CheckArguments(args));
  Arguments given;
  try {
    CLI::App app;
    app.set_help_flag();  // help is one of our own switches
    app.allow_extras();   // positionals, or refused with a suggestion
    std::vector<std::pair<const ArgumentSpec*, CLI::Option*>> options;
    std::deque<std::vector<std::string>> unused;  // CLI11 wants a target
    for (const ArgumentSpec& spec : specs) {
      if (spec.positional) continue;
      CLI::Option* option = nullptr;
      unused.emplace_back();
      if (spec.is_switch) {
        option =
            app.add_flag(spec.name == "help" ? "-h,--help" : "--" + spec.name,
                         unused.back());
      } else {
        option = app.add_option("--" + spec.name, unused.back())
                     ->expected(1)
                     ->allow_extra_args(false);
      }
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      options.emplace_back(&spec, option);
    }
    // CLI11 eats the vector from its back.
    std::vector<std::string> reversed(args.rbegin(), args.rend());
    app.parse(std::move(reversed));
    PARAMO_RETURN_IF_ERROR(TakePositionals(app.remaining(), specs, given));
    for (const auto& entry : options) {
      if (entry.second->count() == 0) continue;
      PARAMO_ASSIGN_OR_RETURN(given[entry.first->name],
                              Values(*entry.second, *entry.first));
    }
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(error.what()), "; --help shows what is taken"));
  }
  return given;
}

}  // namespace paramo
