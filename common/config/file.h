// Whole small files.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace paramo {

// The bytes of `file`, a regular file or a pipe. Reads no more than it must to
// know that there are too many.
// Errors: NOT_FOUND, PERMISSION_DENIED, ... of the file system
//         INVALID_ARGUMENT  a directory, or more than `bytes_max` bytes
absl::StatusOr<std::string> ReadFileUpTo(const std::string& file,
                                         size_t bytes_max);

}  // namespace paramo
