// JSON for output. Reading it back is nobody's business here.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace paramo {

// `text` as a JSON string with its quotes. Broken UTF-8 becomes U+FFFD, so
// that the output is always valid.
std::string JsonString(absl::string_view text);

// The shortest decimal that reads back as `value`; null when not finite, which
// JSON cannot say.
std::string JsonNumber(double value);

}  // namespace paramo
