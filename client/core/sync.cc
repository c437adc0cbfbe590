// The words for sync policies: flags, job files and reports use the same.
#include <charconv>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "paramo/job.h"

namespace paramo {
inline namespace sdk {
namespace {

Status BadSync(const std::string& text) {
  return Status(Code::kInvalidArgument,
                absl::StrCat("`", text.substr(0, 64),
                             "` is no sync policy; "
                             "there are: async, bsp, bsp+1 (backup workers), "
                             "ssp:2 (staleness), round:3 (quorum), "
                             "round:3,500ms (and deadline)"));
}

bool ParseCount(absl::string_view text, uint32_t min, uint32_t& count) {
  return absl::SimpleAtoi(text, &count) && count >= min;
}

}  // namespace

Result<Sync> Sync::Parse(const std::string& text) {
  absl::string_view rest(text.data(), text.size());
  if (rest == "async") return Sync(kAsync);
  if (rest == "bsp") return Sync(kBsp);
  if (absl::ConsumePrefix(&rest, "bsp+")) {
    Sync sync(kBsp);
    if (!ParseCount(rest, 1, sync.backup_workers)) return BadSync(text);
    return sync;
  }
  if (absl::ConsumePrefix(&rest, "ssp:")) {
    Sync sync(kSsp);
    if (!ParseCount(rest, 0, sync.staleness)) return BadSync(text);
    return sync;
  }
  if (!absl::ConsumePrefix(&rest, "round:")) return BadSync(text);
  Sync sync(kRound);
  size_t comma = rest.find(',');
  if (!ParseCount(rest.substr(0, comma), 1, sync.quorum)) return BadSync(text);
  if (comma != absl::string_view::npos) {
    absl::Duration deadline;
    if (!absl::ParseDuration(rest.substr(comma + 1), &deadline) ||
        deadline < absl::Milliseconds(1) || deadline > absl::Hours(1)) {
      return BadSync(text);
    }
    sync.deadline =
        std::chrono::milliseconds(absl::ToInt64Milliseconds(deadline));
  }
  return sync;
}

std::string Sync::ToString() const {
  switch (kind) {
    case kAsync:
      return "async";
    case kBsp:
      return backup_workers == 0 ? "bsp" : absl::StrCat("bsp+", backup_workers);
    case kSsp:
      return absl::StrCat("ssp:", staleness);
    case kRound: {
      std::string text = absl::StrCat("round:", quorum);
      if (deadline.count() > 0)
        absl::StrAppend(&text, ",", deadline.count(), "ms");
      return text;
    }
  }
  return "unknown";
}

}  // namespace sdk
}  // namespace paramo
