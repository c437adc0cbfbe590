#include "common/base/log.h"

#include <atomic>
#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace paramo {
namespace {

// Set once by main, before threads start.
std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::string& ProcessName() {
  static std::string* name = new std::string("paramo");
  return *name;
}

}  // namespace

void SetLog(LogLevel level, absl::string_view process) {
  g_level.store(level, std::memory_order_relaxed);
  ProcessName() = std::string(process.data(), process.size());
}

bool ParseLogLevel(absl::string_view text, LogLevel& level) {
  if (text == "debug") return level = LogLevel::kDebug, true;
  if (text == "info") return level = LogLevel::kInfo, true;
  if (text == "warning") return level = LogLevel::kWarning, true;
  if (text == "error") return level = LogLevel::kError, true;
  return false;
}

void LogLine(LogLevel level, absl::string_view text) {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  // One write per line, so that lines of several threads do not mix.
  std::string line = absl::StrCat(
      absl::string_view(&"DIWE"[static_cast<int>(level)], 1), " ",
      absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::LocalTimeZone()), " ",
      ProcessName(), " ", text, "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

std::string Printable(absl::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return absl::CHexEscape(text);
  return absl::StrCat(absl::CHexEscape(text.substr(0, bytes_max)), "...");
}

}  // namespace paramo
