#include "server/coordinator/state_store.h"

#include "absl/time/clock.h"
#include "common/base/status.h"

namespace paramo {
namespace {

constexpr absl::Duration kRetryPause = absl::Milliseconds(50);

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> StateStore::Load() {
  PARAMO_ASSIGN_OR_RETURN(KvRange range, kv_.Range(""));
  revision_ = range.revision;
  std::map<std::string, std::string> entries;
  for (KvEntry& entry : range.entries) {
    if (entry.key == fence_.key) continue;
    seen_[entry.key] = entry.mod_revision;
    entries[entry.key] = std::move(entry.value);
  }
  return entries;
}

absl::StatusOr<int64_t> StateStore::Commit(const Changes& changes) {
  Pending pending;
  PARAMO_RETURN_IF_ERROR(Add(changes.reservations(), pending));
  PARAMO_RETURN_IF_ERROR(Add(changes.writes(), pending));
  PARAMO_RETURN_IF_ERROR(Run(pending));
  return revision_;
}

absl::Status StateStore::Add(const Changes::Writes& writes, Pending& pending) {
  for (const auto& [key, value] : writes) {
    auto seen = seen_.find(key);
    if (!value.has_value() && seen == seen_.end()) continue;
    size_t bytes = key.size() + (value.has_value() ? value->size() : 0);
    const size_t keys_max = kKvTxnOperationsMax - (fence_.absent() ? 0 : 1);
    if (pending.txn.compares.size() == keys_max ||
        pending.bytes + bytes > kKvTxnBytesMax) {
      PARAMO_RETURN_IF_ERROR(Run(pending));
      pending = Pending();
    }
    pending.bytes += bytes;
    pending.txn.compares.push_back({key, KvCompare::Target::kModRevision,
                                    seen == seen_.end() ? 0 : seen->second});
    if (value.has_value()) {
      pending.txn.puts.push_back({key, *value, /*lease=*/0});
    } else {
      pending.txn.deletes.push_back(key);
    }
  }
  return absl::OkStatus();
}

absl::Status StateStore::Run(const Pending& pending) {
  const KvTxn& txn = pending.txn;
  if (txn.compares.empty()) return absl::OkStatus();
  KvTxnResult result;
  if (fence_.absent()) {
    PARAMO_ASSIGN_OR_RETURN(result, kv_.Txn(txn));
  } else {
    PARAMO_ASSIGN_OR_RETURN(result, RunFenced(txn));
  }
  if (!result.succeeded) {
    return absl::AbortedError(
        "somebody else has written to the store; this coordinator must stop");
  }
  revision_ = result.revision;
  for (const KvPut& put : txn.puts) seen_[put.key] = result.revision;
  for (const std::string& key : txn.deletes) seen_.erase(key);
  return absl::OkStatus();
}

// ---- Several coordinators ---------------------------------------------------

absl::Status StateStore::CheckFence() const {
  if (fence_.absent() || fence_.holds()) return absl::OkStatus();
  return absl::UnavailableError("this coordinator leads no longer");
}

absl::StatusOr<KvTxnResult> StateStore::RunFenced(const KvTxn& txn) {
  KvTxn guarded = txn;
  guarded.compares.push_back(
      {fence_.key, KvCompare::Target::kCreateRevision, fence_.create_revision});
  bool unknown = false;
  while (true) {
    PARAMO_RETURN_IF_ERROR(CheckFence());
    absl::StatusOr<KvTxnResult> result = kv_.Txn(guarded);
    if (result.ok() && (result->succeeded || !unknown)) return result;
    if (!result.ok() && !absl::IsUnavailable(result.status()) &&
        !absl::IsDeadlineExceeded(result.status())) {
      return result;  // refused: it will not go better a second time
    }
    // Either nobody answered, or an earlier try that nobody answered may be
    // why this one does not hold.
    unknown = true;
    KvTxnResult known;
    absl::StatusOr<Outcome> outcome = FindOutcome(txn, known.revision);
    if (outcome.ok() && *outcome != Outcome::kDidNot) {
      known.succeeded = *outcome == Outcome::kHappened;
      return known;
    }
    if (result.ok() && outcome.ok()) return result;  // the leader is another
    absl::SleepFor(kRetryPause);
  }
}

// One key tells of all: they change together. Nobody else writes while we
// lead, so a key that has moved on to our value was moved by us.
absl::StatusOr<StateStore::Outcome> StateStore::FindOutcome(const KvTxn& txn,
                                                            int64_t& revision) {
  const KvPut* put = txn.puts.empty() ? nullptr : &txn.puts.front();
  const std::string& key = put != nullptr ? put->key : txn.deletes.front();
  auto seen = seen_.find(key);
  PARAMO_ASSIGN_OR_RETURN(KvRange range, kv_.Range(key));
  const KvEntry* entry = nullptr;
  for (const KvEntry& one : range.entries) {
    if (one.key == key) entry = &one;
  }
  const int64_t now_at = entry == nullptr ? 0 : entry->mod_revision;
  if (now_at == (seen == seen_.end() ? 0 : seen->second)) {
    return Outcome::kDidNot;
  }
  revision = entry == nullptr ? range.revision : now_at;
  const bool ours = put != nullptr
                        ? entry != nullptr && entry->value == put->value
                        : entry == nullptr;
  return ours ? Outcome::kHappened : Outcome::kOverwritten;
}

}  // namespace paramo
