// A shard's state on its way to a replica that the log does not reach: the
// non-row state as of some lsn L, then every row as it is by then, at L or
// later. The log goes on behind L; a row's own lsn tells which records it has
// seen.
//
//   primary                         learner
//   BeginCheckpoint: state of L --> BeginInstall: tables, nothing in flight
//   NextRows, NextRows, ... ------> rows into the new tables and the store
//   (end) ------------------------> state into the store; Install: all at once
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/shard/shard.h"

namespace paramo {

Shard::Checkpoint Shard::BeginCheckpoint() const {
  Checkpoint checkpoint;
  checkpoint.lsn = applied_;
  checkpoint.state = SaveState();
  for (const auto& [id, table] : tables_) checkpoint.tables.push_back(id);
  return checkpoint;
}

// Rows that come after the checkpoint began are in the log.
void Shard::NextRows(Checkpoint& checkpoint, size_t bytes_max,
                     CheckpointRows& rows) const {
  while (!checkpoint.tables.empty() && rows.bytes.size() < bytes_max) {
    auto table = tables_.find(checkpoint.tables.back());
    if (table == tables_.end() ||
        checkpoint.next_row >= table->second->rows()) {
      checkpoint.tables.pop_back();
      checkpoint.next_row = 0;
      continue;
    }
    if (rows.table != 0 && rows.table != table->first) return;
    rows.table = table->first;
    const absl::Span<const uint8_t> record =
        table->second->RecordAt(checkpoint.next_row++);
    rows.bytes.append(reinterpret_cast<const char*>(record.data()),
                      record.size());
  }
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
  if (replica_->role() != Role::kLearner || state.lsn() <= applied_) {
    return absl::FailedPreconditionError("the checkpoint is not needed");
  }
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
  half_installed_ = false;
  replica_->OnCheckpointInstalled(
      {applied_, applied_header_.crc32c, applied_header_.epoch},
      options_.clock->Now());
  UpdateDirty();
  return absl::OkStatus();
}

}  // namespace paramo
