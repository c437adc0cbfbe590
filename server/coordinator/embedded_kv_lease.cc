// Leases of the embedded store.
#include "common/base/status.h"
#include "server/coordinator/embedded_kv_internal.h"

namespace paramo {

absl::StatusOr<int64_t> EmbeddedKv::GrantLease(absl::Duration ttl) {
  if (ttl <= absl::ZeroDuration() || ttl > absl::Hours(24)) {
    return absl::InvalidArgumentError(
        "a lease lasts more than nothing and at most a day");
  }
  MutexLock lock(mu_);
  PARAMO_RETURN_IF_ERROR(ExpireLeases());
  int64_t id = last_lease_ + 1;
  std::string key = "l", value;
  AppendInt(key, id);
  AppendInt(value, absl::ToInt64Nanoseconds(ttl));
  rocksdb::WriteBatch batch;
  batch.Put(key, value);
  PARAMO_RETURN_IF_ERROR(Write(batch, "granting a lease"));
  last_lease_ = id;
  leases_[id] = {ttl, clock_.Now() + ttl, {}};
  return id;
}

absl::StatusOr<absl::Duration> EmbeddedKv::KeepLeaseAlive(int64_t id) {
  MutexLock lock(mu_);
  PARAMO_RETURN_IF_ERROR(ExpireLeases());
  auto lease = leases_.find(id);
  if (lease == leases_.end()) return absl::ZeroDuration();
  lease->second.deadline = clock_.Now() + lease->second.ttl;
  return lease->second.ttl;
}

absl::Status EmbeddedKv::RevokeLease(int64_t id) {
  MutexLock lock(mu_);
  auto lease = leases_.find(id);
  return lease == leases_.end() ? absl::OkStatus() : EndLease(lease);
}

absl::Status EmbeddedKv::EndLease(std::map<int64_t, Lease>::iterator lease) {
  std::vector<std::string> keys(lease->second.keys.begin(),
                                lease->second.keys.end());
  if (!keys.empty()) PARAMO_RETURN_IF_ERROR(Apply({}, keys));
  std::string key = "l";
  AppendInt(key, lease->first);
  rocksdb::WriteBatch batch;
  batch.Delete(key);
  PARAMO_RETURN_IF_ERROR(Write(batch, "ending a lease"));
  leases_.erase(lease);
  return absl::OkStatus();
}

absl::Status EmbeddedKv::ExpireLeases() {
  absl::Duration now = clock_.Now();
  for (auto lease = leases_.begin(); lease != leases_.end();) {
    auto next = std::next(lease);
    if (lease->second.deadline <= now) {
      PARAMO_RETURN_IF_ERROR(EndLease(lease));
    }
    lease = next;
  }
  return absl::OkStatus();
}

}  // namespace paramo
