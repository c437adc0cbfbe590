// What names and strings from outside may look like. Every check returns
// INVALID_ARGUMENT that says what is wrong and what is allowed.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace paramo {

// [a-z0-9][a-z0-9._-]{0,127}: safe in file names, labels, logs and URLs.
// `what` names the field in the message ("table name").
absl::Status ValidateName(absl::string_view what, absl::string_view name);

// Printable ASCII, at most `bytes_max`.
absl::Status ValidateText(absl::string_view what, absl::string_view text,
                          size_t bytes_max);

// host:port with a port of 1 to 65535; IPv6 hosts in brackets.
absl::Status ValidateAddress(absl::string_view what, absl::string_view address);

// `value` in [min, max].
absl::Status ValidateRange(absl::string_view what, uint64_t value, uint64_t min,
                           uint64_t max);

}  // namespace paramo
