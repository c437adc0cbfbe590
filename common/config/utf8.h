// Where text stops being text.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace paramo {

// Position of the first byte that is not valid UTF-8 (RFC 3629: no overlong
// forms, no surrogates) or is a control character; npos when all is well.
// With `lines`, tab, line feed and carriage return are allowed.
size_t FindBadText(absl::string_view text, bool lines);

}  // namespace paramo
