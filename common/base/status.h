// Small helpers around absl::Status; Debian's Abseil has no status macros.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace paramo {

// Returns `status` with "`context`: " in front of its message. Add context
// once, where the noun is known ("table ads").
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// "NOT_FOUND: table ads: ..." for people; OK is "OK".
std::string ToString(const absl::Status& status);

// Status of a failed system call: `what` plus strerror(`error_number`).
absl::Status ErrnoStatus(int error_number, absl::string_view what);

}  // namespace paramo

#define PARAMO_RETURN_IF_ERROR(expr)                      \
  do {                                                    \
    if (auto paramo_status = (expr); !paramo_status.ok()) \
      return paramo_status;                               \
  } while (false)

#define PARAMO_CONCAT_INNER(a, b) a##b
#define PARAMO_CONCAT(a, b) PARAMO_CONCAT_INNER(a, b)

// PARAMO_ASSIGN_OR_RETURN(auto x, F()); returns F's status when it failed.
#define PARAMO_ASSIGN_OR_RETURN(lhs, expr) \
  PARAMO_ASSIGN_OR_RETURN_IMPL(PARAMO_CONCAT(paramo_or_, __LINE__), lhs, expr)
#define PARAMO_ASSIGN_OR_RETURN_IMPL(or_, lhs, expr) \
  auto or_ = (expr);                                 \
  if (!or_.ok()) return or_.status();                \
  lhs = std::move(or_).value()
