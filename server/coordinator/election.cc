#include "server/coordinator/election.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "paramo/v1/stored.pb.h"

namespace paramo {

Election::Election(KvStore& kv, const Clock& clock, ElectionOptions options)
    : kv_(kv),
      clock_(clock),
      options_(std::move(options)),
      deadline_ns_(INT64_MIN) {}

absl::StatusOr<Election::Leader> Election::Look() {
  PARAMO_ASSIGN_OR_RETURN(KvRange range, kv_.Range(kLeaderKey));
  Leader leader;
  leader.revision = range.revision;
  for (const KvEntry& entry : range.entries) {
    if (entry.key != kLeaderKey) continue;
    leader.there = true;
    leader.create_revision = entry.create_revision;
    leader.mod_revision = entry.mod_revision;
    leader.lease = entry.lease;
    v1::StoredLeader stored;
    if (stored.ParseFromString(entry.value)) {
      leader.address = stored.address();
      leader.attempt = stored.attempt();
    }
  }
  return leader;
}

absl::StatusOr<bool> Election::Campaign() {
  PARAMO_ASSIGN_OR_RETURN(Leader leader, Look());
  if (leader.there) return false;
  const absl::Duration sent = clock_.Now();
  PARAMO_ASSIGN_OR_RETURN(lease_, kv_.GrantLease(options_.ttl));
  absl::StatusOr<bool> won = Create(sent);
  // Without its lease the put cannot happen later either, whatever became of
  // it. If this fails too, the lease ends by itself.
  if (!won.ok() || !*won) (void)Resign();
  return won;
}

absl::StatusOr<bool> Election::Create(absl::Duration sent) {
  v1::StoredLeader stored;
  stored.set_address(options_.address);
  stored.set_attempt(MakeRandomId());
  KvTxn txn;
  txn.compares.push_back(
      {kLeaderKey, KvCompare::Target::kCreateRevision, /*revision=*/0});
  txn.puts.push_back({kLeaderKey, stored.SerializeAsString(), lease_});
  absl::StatusOr<KvTxnResult> result = kv_.Txn(txn);
  if (result.ok() && !result->succeeded) return false;
  if (result.ok()) {
    create_revision_ = result->revision;
  } else {
    PARAMO_ASSIGN_OR_RETURN(Leader leader, Look());
    if (leader.attempt != stored.attempt()) return result.status();
    create_revision_ = leader.create_revision;
  }
  LeadUntil(sent + options_.ttl - options_.margin);
  return true;
}

absl::Status Election::Renew() {
  const absl::Duration sent = clock_.Now();
  PARAMO_ASSIGN_OR_RETURN(absl::Duration left, kv_.KeepLeaseAlive(lease_));
  if (left <= absl::ZeroDuration()) {
    LeadUntil(-absl::Hours(1));
    return absl::AbortedError(
        "the lease has ended; another coordinator may lead");
  }
  // Not when the deadline has passed meanwhile: whoever saw that has stopped.
  if (Leads()) {
    LeadUntil(sent + std::min(left, options_.ttl) - options_.margin);
  }
  return absl::OkStatus();
}

// Also deletes the key, in case somebody put it again by hand: such a key has
// no lease, and would stand in everybody's way for ever.
absl::Status Election::Resign() {
  LeadUntil(-absl::Hours(1));
  const int64_t lease = std::exchange(lease_, 0);
  const int64_t created = std::exchange(create_revision_, 0);
  if (lease == 0) return absl::OkStatus();
  absl::Status revoked = kv_.RevokeLease(lease);
  if (created == 0 || !revoked.ok()) return revoked;
  KvTxn txn;
  txn.compares.push_back(
      {kLeaderKey, KvCompare::Target::kCreateRevision, created});
  txn.deletes.push_back(kLeaderKey);
  return kv_.Txn(txn).status();
}

StoreFence Election::fence() const {
  return {kLeaderKey, create_revision_, [this] { return Leads(); }};
}

}  // namespace paramo
