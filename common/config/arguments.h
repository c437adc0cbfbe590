// The command line, cut into flags and positionals.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace paramo {

struct ArgumentSpec {
  std::string name;        // "data-dir"
  bool is_switch = false;  // takes no value, or =true, =false
  bool repeatable = false;
  bool positional = false;
};

// What was given for each name; absent names were not given. A switch without
// a value has "true".
using Arguments = std::map<std::string, std::vector<std::string>>;

// Errors: INVALID_ARGUMENT  unknown flag (with a suggestion), missing value,
//         a flag twice, too many positionals, an argument that is too long or
//         not printable text
absl::StatusOr<Arguments> ParseArguments(
    const std::vector<std::string>& args,
    const std::vector<ArgumentSpec>& specs);

}  // namespace paramo
