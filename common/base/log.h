// Logging: one line per event on stderr, "I 12:03:04.567 server-2 text".
// Text from outside the process is escaped, so that a name with a newline in
// it cannot forge a line. Log where an error is handled, not where it passes.
#pragma once

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace paramo {

enum class LogLevel { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

// Lines below `level` are dropped. Both are set once, by main, before threads
// start. `process` names this process in every line.
void SetLog(LogLevel level, absl::string_view process);

// "debug", "info", "warning" or "error"; false when it is none of them.
bool ParseLogLevel(absl::string_view text, LogLevel& level);

void LogLine(LogLevel level, absl::string_view text);

// `text` with control characters and backslashes escaped, cut at `bytes_max`.
std::string Printable(absl::string_view text, size_t bytes_max = 256);

template <typename... Args>
void LogInfo(const absl::FormatSpec<Args...>& format, const Args&... args) {
  LogLine(LogLevel::kInfo, absl::StrFormat(format, args...));
}
template <typename... Args>
void LogWarning(const absl::FormatSpec<Args...>& format, const Args&... args) {
  LogLine(LogLevel::kWarning, absl::StrFormat(format, args...));
}
template <typename... Args>
void LogError(const absl::FormatSpec<Args...>& format, const Args&... args) {
  LogLine(LogLevel::kError, absl::StrFormat(format, args...));
}
template <typename... Args>
void LogDebug(const absl::FormatSpec<Args...>& format, const Args&... args) {
  LogLine(LogLevel::kDebug, absl::StrFormat(format, args...));
}

}  // namespace paramo
