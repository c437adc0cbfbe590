#include "server/coordinator/changes.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace paramo {

bool IdCounter::Load(absl::string_view value) {
  uint64_t reserved = 0;
  if (!absl::SimpleAtoi(value, &reserved) || reserved < reserved_) return false;
  next_ = reserved_ = reserved;
  return true;
}

void IdCounter::Store() { changes_.Reserve(key_, absl::StrCat(reserved_)); }

uint64_t IdCounter::Take() {
  if (next_ == reserved_) {
    reserved_ += block_;
    Store();
  }
  return next_++;
}

}  // namespace paramo
