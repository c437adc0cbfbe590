// Another store of rows in the place of a damaged one, which is kept:
//
//   <dir>/rows.unfinished/rows   being made
//   <dir>/rows.new               complete         --> <dir>/rows
//   <dir>/rows                   the damaged one  --> <dir>/rows.damaged-1
//
// No store of the directory is open meanwhile, but for the one that is made.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace paramo {

// Where to make the new one: a directory for RowStore::Open. What an earlier
// attempt left there was only a copy, and is removed.
absl::StatusOr<std::string> PrepareNewRows(const std::string& data_dir);

// Puts the new one in place, durably. Returns where the old one is now.
absl::StatusOr<std::string> ReplaceRows(const std::string& data_dir);

// After a crash in the middle of ReplaceRows. Before the store is opened.
absl::Status FinishReplacingRows(const std::string& data_dir);

}  // namespace paramo
