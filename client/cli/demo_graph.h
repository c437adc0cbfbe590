// What `paramo demo debgraph` does besides training: it fetches this machine's
// package list, and shows which packages came to lie side by side.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace paramo::cli {

// Writes what `apt-cache dumpavail` prints to `file`.
// Errors: FAILED_PRECONDITION  no apt, or no package lists; with how to mend it
absl::Status DumpPackages(const std::string& file);

// The nearest packages to each of `packages` in a table whose keys are hashes
// of package names, one line each. `dump` has the names.
// Errors: of ReadTable and KeyNames::Read.
absl::StatusOr<std::string> NeighboursOf(
    const std::vector<std::string>& addresses, const std::string& table,
    const std::string& dump, const std::vector<std::string>& packages);

}  // namespace paramo::cli
