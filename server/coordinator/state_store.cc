#include "server/coordinator/state_store.h"

#include "common/base/status.h"

namespace paramo {

absl::StatusOr<std::map<std::string, std::string>> StateStore::Load() {
  PARAMO_ASSIGN_OR_RETURN(KvRange range, kv_.Range(""));
  revision_ = range.revision;
  std::map<std::string, std::string> entries;
  for (KvEntry& entry : range.entries) {
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
    if (pending.txn.compares.size() == kKvTxnOperationsMax ||
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
  PARAMO_ASSIGN_OR_RETURN(KvTxnResult result, kv_.Txn(txn));
  if (!result.succeeded) {
    return absl::AbortedError(
        "another coordinator has written to the store; this one must stop");
  }
  revision_ = result.revision;
  for (const KvPut& put : txn.puts) seen_[put.key] = result.revision;
  for (const std::string& key : txn.deletes) seen_.erase(key);
  return absl::OkStatus();
}

}  // namespace paramo
