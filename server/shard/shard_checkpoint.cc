// A shard's state on its way to a replica that the log does not reach: the
// non-row state as of some lsn L, then every row as it is by then, at L or
// later. The log goes on behind L; a row's own lsn tells which records it has
// seen.
//
//   primary                         learner
//   BeginCheckpoint: state of L --> BeginInstall: tables, nothing in flight
//   NextRows, NextRows, ... ------> rows into the new tables and the store
//     (evicted ones: from the store)
//   (end) ------------------------> state into the store; Install: all at once
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

void AddRecord(std::string& bytes, absl::Span<const uint8_t> record) {
  bytes.append(reinterpret_cast<const char*>(record.data()), record.size());
}

}  // namespace

Shard::Checkpoint Shard::BeginCheckpoint() const {
  Checkpoint checkpoint;
  checkpoint.lsn = applied_;
  checkpoint.state = SaveState();
  for (const auto& [id, table] : tables_) checkpoint.tables.push_back(id);
  return checkpoint;
}

// Rows that come after the checkpoint began are in the log.
absl::Status Shard::NextRows(Checkpoint& checkpoint, size_t bytes_max,
                             CheckpointRows& rows) const {
  size_t bytes = 0;
  while (!checkpoint.tables.empty() && bytes < bytes_max) {
    auto found = tables_.find(checkpoint.tables.back());
    const TableShard* table =
        found == tables_.end() ? nullptr : found->second.get();
    if (table != nullptr && rows.table != 0 && rows.table != found->first)
      break;
    if (table != nullptr && checkpoint.next_row == 0) {
      checkpoint.by_key = table->budgeted();
      if (checkpoint.by_key) {
        table->ForEachKey([&](Key key) { checkpoint.keys.push_back(key); });
      }
    }
    const uint64_t end = table == nullptr    ? 0
                         : checkpoint.by_key ? checkpoint.keys.size()
                                             : table->row_numbers();
    if (checkpoint.next_row >= end) {
      checkpoint.tables.pop_back();
      checkpoint.next_row = 0;
      checkpoint.keys.clear();
      continue;
    }
    if (!checkpoint.by_key && table->budgeted()) {
      return absl::AbortedError("a table got a memory budget meanwhile");
    }
    rows.table = found->first;
    bytes += table->layout().record_bytes();
    const uint64_t next = checkpoint.next_row++;
    if (!checkpoint.by_key) {
      AddRecord(rows.bytes, table->RecordAt(next));
    } else if (table->IsCold(checkpoint.keys[next])) {
      rows.cold.push_back(checkpoint.keys[next]);
    } else {
      const auto* row = table->Find(checkpoint.keys[next]);
      AddRecord(rows.bytes, {reinterpret_cast<const uint8_t*>(row),
                             table->layout().record_bytes()});
    }
  }
  std::sort(rows.cold.begin(), rows.cold.end());
  return absl::OkStatus();
}

absl::Status Shard::BeginInstall(HistoryId history) {
  if (replica_->role() != Role::kLearner || history != config().history) {
    return absl::FailedPreconditionError("not a learner of this shard");
  }
  // A flush under way could put older rows over those that come now.
  if (rows_in_flush_ > 0) return absl::UnavailableError("a flush is under way");
  installing_ = half_installed_ = true;
  sweeping_ = false;
  return absl::OkStatus();
}

void Shard::AbortInstall() { installing_ = false; }

absl::Status Shard::Install(const v1::ShardState& state,
                            std::vector<std::unique_ptr<TableShard>> tables) {
  installing_ = false;
  if (replica_->role() != Role::kLearner ||
      state.lsn() <= replica_->committed()) {
    return absl::FailedPreconditionError("the checkpoint is not needed");
  }
  ForgetFetches();
  tables_.clear();
  sessions_.clear();
  memberships_.clear();
  jobs_.clear();
  dirty_rows_ = 0;
  rows_newest_ = 0;
  PARAMO_RETURN_IF_ERROR(RestoreState(state));
  for (auto& table : tables) {
    rows_newest_ = std::max(rows_newest_, table->newest_lsn());
    const TableId id = table->config().id;
    tables_[id] = std::move(table);
  }
  NoteDurability();
  NoteBudgets();
  half_installed_ = false;
  replica_->OnCheckpointInstalled(
      {applied_, applied_header_.crc32c, applied_header_.epoch},
      options_.clock->Now());
  UpdateDirty();
  return absl::OkStatus();
}

}  // namespace paramo
