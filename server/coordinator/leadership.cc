#include "server/coordinator/leadership.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace paramo {

absl::Status Leadership::Refusal() const {
  if (leader_.empty()) {
    return absl::UnavailableError(
        "this coordinator does not lead, and knows of none that does; try "
        "again");
  }
  return absl::UnavailableError(absl::StrCat(
      "this coordinator does not lead; the one at ", leader_, " does"));
}

absl::StatusOr<std::shared_ptr<Term>> Leadership::Current() const {
  MutexLock lock(mu_);
  if (term_ != nullptr && holds_()) return term_;
  return Refusal();
}

void Leadership::Begin(std::shared_ptr<Term> term,
                       std::function<bool()> holds) {
  MutexLock lock(mu_);
  term_ = std::move(term);
  holds_ = std::move(holds);
  leader_.clear();
}

void Leadership::End() {
  std::shared_ptr<Term> term;
  {
    MutexLock lock(mu_);
    term.swap(term_);
  }
  if (term == nullptr) return;
  term->prober.reset();
  term->loop->Stop();
}

void Leadership::Follow(std::string leader) {
  MutexLock lock(mu_);
  leader_ = std::move(leader);
}

}  // namespace paramo
