#include "common/config/json.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/config/utf8.h"

namespace paramo {

std::string JsonString(absl::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    // FindBadText stops at what needs care: controls and broken bytes.
    const size_t good =
        std::min(FindBadText(text, /*lines=*/false), text.size());
    for (char c : text.substr(0, good)) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    text.remove_prefix(good);
    if (text.empty()) break;
    const auto byte = static_cast<unsigned char>(text[0]);
    out += byte < 0x80 ? absl::StrFormat("\\u%04x", byte) : "\xef\xbf\xbd";
    text.remove_prefix(1);
  }
  out.push_back('"');
  return out;
}

std::string JsonNumber(double value) {
  if (!std::isfinite(value)) return "null";
  char digits[32];
  auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return std::string(digits, end);
}

}  // namespace paramo
