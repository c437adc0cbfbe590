// The values that settings are written in: sizes, durations, addresses. The
// same words are read on the command line, in the environment and in YAML, so
// they are parsed in one place. Every error says what was written, what form
// is expected, and shows one that works.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace paramo {

// Inclusive bounds.
struct IntRange {
  int64_t min = 0;
  int64_t max = INT64_MAX;
};
struct NumberRange {
  double min = -1.7976931348623157e308;
  double max = 1.7976931348623157e308;
};
struct DurationRange {
  absl::Duration min = absl::ZeroDuration();
  absl::Duration max = absl::Hours(24 * 365);
};

// All return INVALID_ARGUMENT on anything else, leading and trailing space
// included.
absl::StatusOr<bool> ParseBool(absl::string_view text);  // true or false
absl::StatusOr<int64_t> ParseInt(absl::string_view text, IntRange range);
// Finite decimal numbers; NaN and infinities are refused.
absl::StatusOr<double> ParseNumber(absl::string_view text, NumberRange range);
// Bytes: "4096", "64MiB", "1.5GB". Decimal and binary units, B to TB.
absl::StatusOr<int64_t> ParseSize(absl::string_view text, IntRange range);
// "250ms", "2s", "1h30m": a unit is required.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text,
                                             DurationRange range);
// Text without control characters, valid UTF-8.
absl::Status CheckText(absl::string_view text);

struct HostPort {
  std::string host;  // IPv6 without its brackets
  uint16_t port = 0;
};
// "127.0.0.1:7070", "[::1]:0", "ps-0.svc:7071".
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);
// Comma separated, each as above; port 0 is refused: nobody can connect to it.
absl::StatusOr<std::vector<std::string>> ParseAddresses(absl::string_view text);

// The shortest exact form: "64MiB", "1000".
std::string FormatSize(int64_t bytes);

// "; did you mean `name`?" with the candidate nearest to `word` by edit
// distance (swaps count as one), or "" when none is within a third of the
// letters and `edits_max`.
std::string Suggest(absl::string_view word,
                    const std::vector<std::string>& candidates,
                    size_t edits_max = 8);

}  // namespace paramo
