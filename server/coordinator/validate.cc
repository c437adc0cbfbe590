#include "server/coordinator/validate.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {
namespace {

constexpr size_t kAddressBytesMax = 255;  // a DNS name

bool IsNameStart(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c));
}
bool IsNameRest(char c) {
  return IsNameStart(c) || c == '.' || c == '_' || c == '-';
}

}  // namespace

absl::Status ValidateName(absl::string_view what, absl::string_view name) {
  if (!name.empty() && name.size() <= kTableNameBytesMax &&
      IsNameStart(name[0]) &&
      std::all_of(name.begin(), name.end(), IsNameRest)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      what, " '", Printable(name, 64), "' must be 1 to ", kTableNameBytesMax,
      " characters of a-z 0-9 . _ - and start with a letter or digit"));
}

absl::Status ValidateText(absl::string_view what, absl::string_view text,
                          size_t bytes_max) {
  if (text.size() > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(what, " has ", text.size(),
                                                   " bytes; at most ",
                                                   bytes_max, " are allowed"));
  }
  auto printable = [](char c) {
    return absl::ascii_isprint(static_cast<unsigned char>(c));
  };
  if (!std::all_of(text.begin(), text.end(), printable)) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, " '", Printable(text, 64), "' must be printable ASCII"));
  }
  return absl::OkStatus();
}

absl::Status ValidateAddress(absl::string_view what,
                             absl::string_view address) {
  PARAMO_RETURN_IF_ERROR(ValidateText(what, address, kAddressBytesMax));
  size_t colon = address.rfind(':');
  int port = 0;
  bool valid = colon != absl::string_view::npos && colon > 0 &&
               absl::SimpleAtoi(address.substr(colon + 1), &port) &&
               port >= 1 && port <= 65535;
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      what, " '", Printable(address, 64),
      "' must be host:port that others can reach, with a port of 1 to 65535"));
}

absl::Status ValidateRange(absl::string_view what, uint64_t value, uint64_t min,
                           uint64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, "; it must be ", min, " to ", max));
}

}  // namespace paramo
