#include "server/coordinator/leader_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {
namespace {

// How soon this thread notices a stop or a failed term.
constexpr absl::Duration kStep = absl::Milliseconds(100);
// After a campaign that the store did not answer.
constexpr absl::Duration kRetry = absl::Milliseconds(200);
// After a term that could not begin: what is wrong with the store will not
// right itself, and another coordinator may do better.
constexpr absl::Duration kRetryTerm = absl::Seconds(2);
// Looks whether the key is still there, should the watch have missed it.
constexpr absl::Duration kLook = absl::Seconds(2);
// Renewals within one ttl: the others may be lost.
constexpr int kRenewalsPerTtl = 4;

}  // namespace

LeaderLoop::LeaderLoop(KvStore& kv, const Clock& clock,
                       LeaderLoopOptions options, LeaderHooks hooks)
    : kv_(kv),
      clock_(clock),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      election_(kv, clock, options_.election) {}

LeaderLoop::~LeaderLoop() { Stop(); }

void LeaderLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void LeaderLoop::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void LeaderLoop::FailTerm() {
  MutexLock lock(mu_);
  term_failed_ = true;
}

bool LeaderLoop::stopping() {
  MutexLock lock(mu_);
  return stopping_;
}

bool LeaderLoop::Wait(absl::Duration time) {
  const absl::Duration until = clock_.Now() + time;
  MutexLock lock(mu_);
  while (!stopping_ && clock_.Now() < until) {
    changed_.WaitFor(mu_, until - clock_.Now());
  }
  return !stopping_;
}

void LeaderLoop::Report(const absl::Status& status) {
  if (status.ok()) {
    reported_.clear();
  } else if (reported_ != status.message()) {
    reported_ = std::string(status.message());
    LogWarning("%s", ToString(status));
  }
}

void LeaderLoop::Run() {
  while (!stopping()) {
    absl::StatusOr<bool> won = election_.Campaign();
    Report(won.status());
    if (!won.ok()) {
      hooks_.follow("");
      Wait(kRetry);
    } else if (*won) {
      Lead();
    } else {
      Follow();
    }
  }
}

// ---- Following --------------------------------------------------------------

void LeaderLoop::Follow() {
  absl::StatusOr<Election::Leader> leader = election_.Look();
  while (leader.ok() && leader->there) {
    hooks_.follow(leader->address);
    if (leader->lease == 0) {
      Report(absl::FailedPreconditionError(
          "the key `leader` has no lease, so that it will not go by itself: "
          "delete it (etcdctl del), or find out who wrote it"));
    }
    auto watch = kv_.Watch(kLeaderKey, leader->revision + 1);
    const absl::Duration look_at = clock_.Now() + kLook;
    bool quiet = watch.ok();
    while (quiet && clock_.Now() < look_at) {
      if (stopping()) return;
      auto events = (*watch)->Next(kStep);
      quiet = events.ok() && events->empty();
    }
    if (stopping()) return;
    leader = election_.Look();
  }
  Report(leader.status());
  if (!leader.ok()) Wait(kRetry);
}

// ---- Leading ----------------------------------------------------------------

void LeaderLoop::Lead() {
  {
    MutexLock lock(mu_);
    term_failed_ = false;
  }
  const int64_t from = election_.create_revision() + 1;
  absl::Status begun = hooks_.begin(election_.fence());
  if (begun.ok()) {
    LogInfo("leads, since revision %d of the store", from - 1);
    const absl::Status over = Hold(from);
    hooks_.end();
    if (!over.ok()) LogWarning("leads no longer: %s", ToString(over));
  } else {
    Report(Annotate(begun, "cannot lead"));
  }
  const absl::Status resigned = election_.Resign();
  if (!resigned.ok()) LogInfo("resigning: %s", ToString(resigned));
  if (!begun.ok()) Wait(kRetryTerm);
}

absl::Status LeaderLoop::Hold(int64_t from_revision) {
  const absl::Duration period = options_.election.ttl / kRenewalsPerTtl;
  std::unique_ptr<KvWatch> watch;
  absl::Duration renew_at = clock_.Now();
  while (!stopping()) {
    {
      MutexLock lock(mu_);
      if (term_failed_) return absl::AbortedError("the store failed");
    }
    if (clock_.Now() >= renew_at) {
      renew_at = clock_.Now() + period;
      const absl::Status renewed = election_.Renew();
      if (absl::IsAborted(renewed)) return renewed;
      Report(renewed);
    }
    if (!election_.Leads()) {
      return absl::AbortedError("the lease could not be renewed in time");
    }
    if (watch == nullptr) {
      PARAMO_ASSIGN_OR_RETURN(watch, kv_.Watch(kLeaderKey, from_revision));
    }
    const absl::Status key = CheckKey(*watch);
    if (absl::IsOutOfRange(key)) {  // compacted while the watch was broken
      PARAMO_ASSIGN_OR_RETURN(from_revision, RangeAgain());
      watch.reset();
    } else {
      PARAMO_RETURN_IF_ERROR(key);
    }
    CompactSometimes();
  }
  return absl::OkStatus();
}

// Waits a step. Nobody but us has any business with our key.
absl::Status LeaderLoop::CheckKey(KvWatch& watch) {
  absl::StatusOr<std::vector<KvEvent>> events = watch.Next(kStep);
  if (absl::IsOutOfRange(events.status())) return events.status();
  if (!events.ok()) return absl::OkStatus();  // the deadline will tell
  for (const KvEvent& event : *events) {
    if (event.entry.key != kLeaderKey) continue;
    return absl::AbortedError(
        event.type == KvEvent::Type::kDelete
            ? "the key `leader` is gone"
            : "somebody has written over the key `leader`");
  }
  return absl::OkStatus();
}

// Where to watch from; ABORTED when the key is not as we made it.
absl::StatusOr<int64_t> LeaderLoop::RangeAgain() {
  PARAMO_ASSIGN_OR_RETURN(Election::Leader look, election_.Look());
  if (look.mod_revision == election_.create_revision()) {
    return look.revision + 1;
  }
  return absl::AbortedError("the key `leader` is gone, or was written over");
}

// etcd keeps all history until told otherwise, and stops at its quota.
void LeaderLoop::CompactSometimes() {
  if (options_.history <= absl::ZeroDuration()) return;
  const absl::Duration now = clock_.Now();
  if (now < compact_at_) return;
  absl::StatusOr<Election::Leader> look = election_.Look();
  if (look.ok() && compact_revision_ > 0) {
    const absl::Status compacted = kv_.Compact(compact_revision_);
    if (!compacted.ok()) LogInfo("compacting: %s", ToString(compacted));
  }
  compact_at_ = now + options_.history;
  compact_revision_ = look.ok() ? look->revision : 0;
}

}  // namespace paramo
