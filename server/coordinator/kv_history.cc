#include "server/coordinator/kv_history.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace paramo {

void KvHistory::StartAfter(int64_t revision) {
  MutexLock lock(mu_);
  events_.clear();
  dropped_ = newest_ = revision;
}

void KvHistory::Append(std::vector<KvEvent> events, int64_t revision) {
  MutexLock lock(mu_);
  for (KvEvent& event : events) events_.push_back(std::move(event));
  newest_ = revision;
  while (events_.size() > events_max_) {
    // A revision is dropped whole: half a transaction is never shown.
    dropped_ = events_.front().entry.mod_revision;
    while (!events_.empty() && events_.front().entry.mod_revision == dropped_) {
      events_.pop_front();
    }
  }
  grown_.NotifyAll();
}

absl::Status KvHistory::Compact(int64_t revision) {
  MutexLock lock(mu_);
  if (revision > newest_) {
    return absl::OutOfRangeError(
        absl::StrCat("revision ", revision, " is not there yet"));
  }
  while (!events_.empty() && events_.front().entry.mod_revision <= revision) {
    events_.pop_front();
  }
  dropped_ = std::max(dropped_, revision);
  grown_.NotifyAll();  // a reader that needed them must learn of it
  return absl::OkStatus();
}

absl::Status KvHistory::CheckHas(int64_t revision) const {
  MutexLock lock(mu_);
  return CheckHasLocked(revision);
}

absl::Status KvHistory::CheckHasLocked(int64_t revision) const {
  if (revision > dropped_) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat("changes up to revision ", dropped_, " are compacted, ",
                   revision, " was wanted; range again and watch from there"));
}

absl::StatusOr<std::vector<KvEvent>> KvHistory::Read(const std::string& prefix,
                                                     int64_t& next,
                                                     absl::Duration timeout) {
  const auto deadline =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  std::vector<KvEvent> found;
  MutexLock lock(mu_);
  while (true) {
    PARAMO_RETURN_IF_ERROR(CheckHasLocked(next));
    auto from = std::lower_bound(events_.begin(), events_.end(), next,
                                 [](const KvEvent& event, int64_t revision) {
                                   return event.entry.mod_revision < revision;
                                 });
    for (; from != events_.end(); ++from) {
      if (absl::StartsWith(from->entry.key, prefix)) found.push_back(*from);
    }
    next = std::max(next, newest_ + 1);
    auto left = deadline - std::chrono::steady_clock::now();
    if (!found.empty() || left.count() <= 0) return found;
    grown_.WaitFor(mu_, absl::FromChrono(left));
  }
}

}  // namespace paramo
