#include "common/config/value.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/utf8.h"

namespace paramo {
namespace {

absl::Status Bad(absl::string_view text, absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("`", Printable(text, 64), "` is not ", expected));
}

struct Unit {
  const char* name;
  int64_t bytes;
};
// Largest first, so that FormatSize finds the shortest form.
constexpr Unit kUnits[] = {
    {"TiB", int64_t{1} << 40},
    {"TB", 1'000'000'000'000},
    {"GiB", int64_t{1} << 30},
    {"GB", 1'000'000'000},
    {"MiB", int64_t{1} << 20},
    {"MB", 1'000'000},
    {"KiB", int64_t{1} << 10},
    {"KB", 1'000},
    {"B", 1},
};

// Digits with at most one point: what strtod accepts beside that (hex, "nan",
// signs, exponents) has no place in a size.
bool IsPlainDecimal(absl::string_view text) {
  int points = 0;
  int digits = 0;
  for (char c : text) {
    if (c == '.') {
      ++points;
    } else if (c >= '0' && c <= '9') {
      ++digits;
    } else {
      return false;
    }
  }
  return digits > 0 && points <= 1;
}

std::string SizeOrLimit(int64_t bytes) {
  return bytes == std::numeric_limits<int64_t>::max() ? "8EiB"
                                                      : FormatSize(bytes);
}

// Edit distance with swaps of neighbours (optimal string alignment), three
// rows of the table at a time.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1),
      row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

absl::StatusOr<bool> ParseBool(absl::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return Bad(text, "a switch; write true or false");
}

absl::StatusOr<int64_t> ParseInt(absl::string_view text, IntRange range) {
  bool digits = !text.empty() && text.size() <= 20 &&
                absl::ascii_isdigit(static_cast<unsigned char>(text.back()));
  int64_t value = 0;
  if (!digits || text[0] == '+' || !absl::SimpleAtoi(text, &value) ||
      absl::ascii_isspace(static_cast<unsigned char>(text[0])) ||
      value < range.min || value > range.max) {
    std::string bounds =
        range.max == std::numeric_limits<int64_t>::max()
            ? absl::StrCat("a whole number, ", range.min, " or more")
            : absl::StrCat("a whole number from ", range.min, " to ",
                           range.max);
    return Bad(
        text, absl::StrCat(bounds, ", e.g. ", std::max<int64_t>(range.min, 1)));
  }
  return value;
}

absl::StatusOr<double> ParseNumber(absl::string_view text, NumberRange range) {
  double value = 0;
  // SimpleAtod takes spaces, "nan", "inf" and hexadecimal; none is wanted.
  bool plain = !text.empty() && text.find_first_not_of("0123456789+-.eE") ==
                                    absl::string_view::npos;
  if (!plain || text[0] == '+' || !absl::SimpleAtod(text, &value) ||
      !std::isfinite(value)) {
    return Bad(text, "a finite number, e.g. 0.05");
  }
  if (value < range.min || value > range.max) {
    return Bad(text,
               absl::StrCat("a number from ", range.min, " to ", range.max));
  }
  return value;
}

absl::StatusOr<int64_t> ParseSize(absl::string_view text, IntRange range) {
  const absl::string_view form =
      "a size; write a number and a unit of B, KB, MB, GB, TB, KiB, MiB, GiB "
      "or TiB, e.g. 64MiB";
  absl::string_view number = text;
  int64_t unit_bytes = 1;
  for (const Unit& unit : kUnits) {
    if (absl::EndsWith(text, unit.name)) {
      number.remove_suffix(absl::string_view(unit.name).size());
      unit_bytes = unit.bytes;
      break;
    }
  }
  double value = 0;
  if (number.size() > 32 || !IsPlainDecimal(number) ||
      !absl::SimpleAtod(number, &value)) {
    return Bad(text, form);
  }
  const double bytes = value * static_cast<double>(unit_bytes);
  // 2^63 is the first double that does not fit.
  if (bytes >= 0x1.0p63) return Bad(text, "a size below 8EiB, e.g. 64MiB");
  int64_t whole = 0;
  // Whole numbers stay exact above 2^53; fractions must name whole bytes.
  if (absl::SimpleAtoi(number, &whole)) {
    whole *= unit_bytes;  // fits: the same product as a double is < 2^63
  } else if (bytes == std::floor(bytes)) {
    whole = static_cast<int64_t>(bytes);
  } else {
    return Bad(text, "a whole number of bytes, e.g. 1.5MiB");
  }
  if (whole < range.min || whole > range.max) {
    return Bad(text, absl::StrCat("a size from ", FormatSize(range.min), " to ",
                                  SizeOrLimit(range.max)));
  }
  return whole;
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text,
                                             DurationRange range) {
  absl::Duration value;
  bool plain = !text.empty() && text.size() <= 64 &&
               (absl::ascii_isdigit(static_cast<unsigned char>(text[0])) ||
                text[0] == '-');
  if (!plain || !absl::ParseDuration(text, &value)) {
    return Bad(
        text,
        "a duration; write a number and a unit of ns, us, ms, s, m or h, "
        "e.g. 250ms or 2s");
  }
  if (value < range.min || value > range.max) {
    return Bad(text,
               absl::StrCat("a duration from ", absl::FormatDuration(range.min),
                            " to ", absl::FormatDuration(range.max)));
  }
  return value;
}

absl::Status CheckText(absl::string_view text) {
  if (FindBadText(text, /*lines=*/false) != absl::string_view::npos) {
    return Bad(text,
               "plain text: control characters and broken UTF-8 are refused");
  }
  return absl::OkStatus();
}

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  const absl::string_view form =
      "an address; write HOST:PORT, e.g. 127.0.0.1:7070 or [::1]:7070";
  size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || text.size() > 300) {
    return Bad(text, form);
  }
  absl::string_view host = text.substr(0, colon);
  absl::string_view port = text.substr(colon + 1);
  const bool bracketed =
      host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const absl::string_view allowed = bracketed
                                        ? "0123456789abcdefABCDEF:.%"
                                        : "0123456789abcdefghijklmnopqrstuvwxyz"
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-_";
  if (host.empty() ||
      host.find_first_not_of(allowed) != absl::string_view::npos) {
    return Bad(text, form);
  }
  auto number = ParseInt(port, {0, 65535});
  if (!number.ok()) {
    return Bad(text, absl::StrCat(form, "; a port is from 0 to 65535"));
  }
  return HostPort{std::string(host.data(), host.size()),
                  static_cast<uint16_t>(*number)};
}

absl::StatusOr<std::vector<std::string>> ParseAddresses(
    absl::string_view text) {
  std::vector<std::string> addresses;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    PARAMO_ASSIGN_OR_RETURN(HostPort address, ParseHostPort(part));
    if (address.port == 0) {
      return Bad(part,
                 "an address to connect to: its port is 0; write the "
                 "port that the process listens on");
    }
    addresses.emplace_back(part.data(), part.size());
  }
  return addresses;
}

std::string FormatSize(int64_t bytes) {
  for (const Unit& unit : kUnits) {
    if (bytes >= unit.bytes && bytes % unit.bytes == 0 && unit.bytes > 1) {
      return absl::StrCat(bytes / unit.bytes, unit.name);
    }
  }
  return absl::StrCat(bytes);
}

std::string Suggest(absl::string_view word,
                    const std::vector<std::string>& candidates,
                    size_t edits_max) {
  constexpr size_t kWordBytesMax = 64;  // the table is quadratic
  if (word.empty() || word.size() > kWordBytesMax) return "";
  size_t best = std::min(edits_max, std::max<size_t>(1, word.size() / 3)) + 1;
  const std::string* nearest = nullptr;
  for (const std::string& candidate : candidates) {
    size_t distance =
        Distance(word, absl::string_view(candidate.data(), candidate.size()));
    if (distance < best) {
      best = distance;
      nearest = &candidate;
    }
  }
  if (nearest == nullptr) return "";
  return absl::StrCat("; did you mean `", *nearest, "`?");
}

}  // namespace paramo
