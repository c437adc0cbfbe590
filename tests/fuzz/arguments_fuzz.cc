// A command line, one argument a line. Oracle: what is accepted was declared,
// and is no more than what was given.
#include "common/config/arguments.h"

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/base/limits.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  const std::vector<ArgumentSpec> specs = {
      {"data-dir", false, false, false}, {"verbose", true, false, false},
      {"help", true, false, false},      {"param", false, true, false},
      {"first", false, false, true},     {"second", false, false, true},
  };
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> args = absl::StrSplit(text, '\n');
  auto given = ParseArguments(args, specs);
  if (!given.ok()) {
    PARAMO_CHECK(absl::IsInvalidArgument(given.status()));
    return 0;
  }
  size_t values = 0;
  for (const auto& entry : *given) {
    const std::vector<std::string>& list = entry.second;
    auto spec = std::find_if(
        specs.begin(), specs.end(),
        [&](const ArgumentSpec& s) { return s.name == entry.first; });
    PARAMO_CHECK(spec != specs.end());
    PARAMO_CHECK(list.size() == 1 || (spec->repeatable && !list.empty()));
    // CLI11 reads `-h-verbose` as -h --verbose: two switches in one.
    if (!spec->is_switch) values += list.size();
    for (const std::string& value : list) {
      const bool was_given =
          std::any_of(args.begin(), args.end(), [&](const std::string& arg) {
            return absl::StrContains(arg, value);
          });
      PARAMO_CHECK(was_given || (spec->is_switch && value == "true"));
    }
  }
  PARAMO_CHECK(values <= args.size());
  return 0;
}
