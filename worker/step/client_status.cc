#include "worker/step/client_status.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_replace.h"

namespace paramo {

absl::Status FromClient(const Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string text = status.ToString();
  // The code comes back in front when we print it.
  const std::string code = std::string(CodeName(status.code())) + ": ";
  if (text.rfind(code, 0) == 0) text.erase(0, code.size());
  return absl::Status(
      static_cast<absl::StatusCode>(status.code()),
      absl::StrReplaceAll(text, {{"\n  ", "; "}, {"\n", "; "}}));
}

}  // namespace paramo
