// A shard that goes on in another history (rule 3.10): acknowledged pushes may
// be lost, so no session of an earlier one goes on, and replicas of an earlier
// one begin anew.
//
//   named in another history --> StepDown; no flush any more
//   the last flush is settled -> Wipe: log, then rows and state
//   Wiped -------------------> an empty replica, with the promise of the old
//   one
#include <algorithm>
#include <set>
#include <utility>

#include "common/base/log.h"
#include "paramo/v1/log_record.pb.h"
#include "server/shard/shard.h"

namespace paramo {

std::unique_ptr<Replica> Shard::MakeReplica() {
  return std::make_unique<Replica>(
      Replica::Options{.shard = options_.id, .self = options_.self}, *this,
      *options_.port);
}

// ---- Sessions ---------------------------------------------------------------

// The bound is of a session that nobody has: below it, all are of before.
void Shard::ProposeEndOfSessions(const ShardConfig& config) {
  if (config.ended_sessions <= expired_) return;
  v1::SessionRecord record;
  record.set_ended(config.ended_sessions);
  Propose(RecordKind::kSession, record.SerializeAsString());
}

absl::Status Shard::ApplySession(const Record& record) {
  v1::SessionRecord proto;
  if (!proto.ParseFromString(record.payload.Flatten())) {
    return absl::DataLossError("the record's payload cannot be read");
  }
  expired_ = std::max(expired_, proto.ended());
  absl::erase_if(sessions_, [&](const auto& session) {
    return session.first <= proto.ended();
  });
  for (auto gate = gates_.begin(); gate != gates_.end();) {
    const auto ended = gate++;
    if (ended->first > proto.ended()) continue;
    RefuseWaiting(ended->second, SessionExpired(ended->first));
    gates_.erase(ended);
  }
  return absl::OkStatus();
}

// ---- Beginning anew ---------------------------------------------------------

void Shard::OnOtherHistory() {
  if (wiping_) return;
  LogWarning(
      "shard %d goes on in another history: what this server has of it, up to "
      "record %d, is deleted",
      options_.id, appended());
  wiping_ = true;
  sweeping_ = false;
  WipeWhenQuiet();
}

// A flush under way would bring rows back.
void Shard::WipeWhenQuiet() {
  if (flushes_ > 0 || wipe_asked_) return;
  wipe_asked_ = true;
  std::set<TableId> tables;
  for (const auto& [id, table] : tables_) tables.insert(id);
  for (const auto& [id, config] : view_->tables) tables.insert(id);
  options_.port->Wipe({tables.begin(), tables.end()});
}

void Shard::Wiped() {
  ForgetFetches();
  tables_.clear();
  budgeted_.clear();
  sessions_.clear();
  memberships_.clear();
  jobs_.clear();
  expired_ = kNoSession;
  applied_ = flushed_lsn_ = rows_newest_ = 0;
  applied_header_ = {};
  dirty_rows_ = 0;
  log_bytes_ = 0;
  wiping_ = wipe_asked_ = false;
  installing_ = half_installed_ = rows_lost_ = false;
  RestoredReplica promised;
  promised.promise = replica_->promise();
  replica_ = MakeReplica();
  replica_->Restore(std::move(promised));
  ApplyView(std::shared_ptr(view_));
}

}  // namespace paramo
