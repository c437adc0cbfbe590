// What happens to a shard besides pushes and pulls: configuration, tables,
// members, deadlines, the end. Everything that rows depend on becomes a record
// first, and takes effect when that record is applied (shard_apply.cc).
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/log_record.pb.h"
#include "server/shard/shard.h"

namespace paramo {

void Shard::ApplyView(std::shared_ptr<const ClusterView> view) {
  view_ = std::move(view);
  // What is being deleted is nobody's base any more, not even if it is named.
  if (wiping_) return;  // Wiped looks again
  const ShardConfig& next = view_->shards[options_.id].config;
  if (half_installed_ && next.base == options_.self &&
      next.history != config().history) {
    replica_->Stop(absl::FailedPreconditionError(
        "it was to go on from here while a copy was coming in; start the "
        "server again, then promote it once more"));
  }
  // Promoted unsafely all the same, it begins empty.
  if (rows_lost_ && next.base == options_.self &&
      next.history != replica_->history()) {
    return OnOtherHistory();
  }
  replica_->Configure(next, options_.clock->Now());
  if (serving_ == Serving::kNothing && !IsNamedPrimary()) StepDown();
  ProposeChanges();
  RunBehind();
  UpdateDirty();
}

// A request that comes before the takeover is complete waits for it. In another
// life this server may have been primary.
bool Shard::IsNamedPrimary() const {
  if (view_ == nullptr || stopping_ || replica_->role() == Role::kStopped) {
    return false;
  }
  const ShardConfig& config = view_->shards[options_.id].config;
  return config.primary == options_.self.server &&
         std::find(config.in_sync.begin(), config.in_sync.end(),
                   options_.self) != config.in_sync.end();
}

// Tables and members that the coordinator knows and the shard does not yet.
void Shard::ProposeChanges() {
  if (serving_ == Serving::kNothing || view_ == nullptr) return;
  ProposeEndOfSessions(view_->shards[options_.id].config);
  ProposeTables(*view_);
  for (const JobView& job : view_->jobs) ProposeMembers(job);
}

// A takeover is complete: everything in the log is applied.
void Shard::OnServing(Serving serving) {
  const Serving before = std::exchange(serving_, serving);
  if (serving == Serving::kNothing) return StepDown();
  if (before != Serving::kNothing) return;
  ProposeChanges();
  for (auto& [id, job] : jobs_) CloseCompleteRounds(*job);
  auto early = behind_.equal_range(kUntilServing);
  std::vector<SectionTask*> tasks;
  for (auto it = early.first; it != early.second; ++it) {
    tasks.push_back(it->second);
  }
  behind_.erase(early.first, early.second);
  options_.counters->waiting_for_commit.Add(
      -static_cast<int64_t>(tasks.size()));
  for (SectionTask* task : tasks) strand_.Post(task);
}

// Whoever waits must ask the next primary. What became of appended pushes is
// not known here: their numbers tell it there.
void Shard::StepDown() {
  FailWaiting({absl::AbortedError("another server serves the shard now; "
                                  "refresh the shard map"),
               wire::Reason::kWrongEpoch});
  for (const Waiting& waiting : std::exchange(waiting_, {})) {
    Refuse(waiting.task,
           {absl::UnavailableError("the shard's primary changed before the "
                                   "push was committed; whether it was "
                                   "applied is unknown: send it again"),
            wire::Reason::kWrongEpoch});
  }
  gates_.clear();
  proposed_ = 0;
  for (auto& [id, job] : jobs_) {
    job->closing = false;
    StopDeadline(*job);
  }
}

// Only appended records are void, and nothing here knows of those.
void Shard::OnTruncated(Lsn /*lsn*/) {}

void Shard::OnStopped(const absl::Status& status) {
  LogError(
      "shard %d has stopped on this server: %s; start the server again to "
      "have it made anew from another replica",
      options_.id, ToString(status));
  // What is there is whole again after a restart.
  if (absl::IsFailedPrecondition(status)) return;
  options_.port->NoteStopped();
}

// A record may be proposed twice when views follow each other quickly; the
// second changes nothing.
void Shard::Propose(RecordKind kind, std::string payload) {
  Append(kind, Rope::FromString(std::move(payload)), control_level_);
  proposed_ = appended();
}

void Shard::ProposeTables(const ClusterView& view) {
  for (const auto& [id, config] : view.tables) {
    const TableShard* table = this->table(id);
    if (table != nullptr && table->config().version == config->version) {
      continue;
    }
    v1::CatalogueRecord record;
    PARAMO_CHECK(record.mutable_table()->ParseFromString(config->encoded));
    Propose(RecordKind::kCatalogue, record.SerializeAsString());
  }
  std::vector<TableId> dropped;
  for (const auto& [id, table] : tables_) {
    if (!view.tables.contains(id)) dropped.push_back(id);
  }
  for (TableId id : dropped) {
    v1::CatalogueRecord record;
    record.set_dropped(id);
    Propose(RecordKind::kCatalogue, record.SerializeAsString());
  }
}

void Shard::ProposeMembers(const JobView& view) {
  if (!Changes(view)) return;
  v1::MembershipRecord record;
  record.set_job(view.id);
  record.set_job_name(view.name);
  ToProto(view.sync, *record.mutable_sync());
  record.set_gathering(view.gathering);
  for (const MemberView& member : view.members) {
    ToProto(member, *record.add_members());
  }
  Propose(RecordKind::kMembership, record.SerializeAsString());
}

bool Shard::Changes(const JobView& view) const {
  auto job = jobs_.find(view.id);
  if (job == jobs_.end()) return !view.members.empty();
  bool frozen = view.gathering;
  for (const MemberView& member : view.members) {
    frozen = frozen || member.undecided();
    auto known = job->second->members.find(member.session);
    if (known == job->second->members.end() ||
        known->second.live() != member.live() ||
        known->second.gone() != member.gone()) {
      return true;
    }
  }
  return frozen != job->second->frozen;
}

// Whether all that the view says of tables and members has taken effect. Where
// another server is the primary, it is the one to say so.
bool Shard::IsInForce() const {
  if (view_ == nullptr) return false;
  if (!IsNamedPrimary()) return true;
  return serving_ != Serving::kNothing && applied_ >= proposed_;
}

void Shard::Expire(absl::Duration now) {
  ExpireRounds(now);
  ExpirePulls(now);
  ExpireWaitingForRows(now);
  ExpireHeld(now);
}

void Shard::ExpireHeld(absl::Duration now) {
  std::vector<SectionTask*> expired;
  for (auto& [id, gate] : gates_) {
    auto& held = gate.held();
    for (auto task = held.begin(); task != held.end();) {
      if (task->second->held_until > now) {
        ++task;
        continue;
      }
      options_.counters->held_pushes.Add(-1);
      task->second->reply.header.expected_seq = gate.appended() + 1;
      expired.push_back(task->second);
      task = held.erase(task);
    }
  }
  for (SectionTask* task : expired) {
    Refuse(task, {absl::AbortedError(absl::StrCat(
                      "number ", task->reply.header.expected_seq,
                      " of the session has not come; send this one after it")),
                  wire::Reason::kSeqGap});
  }
}

void Shard::FailWaiting(const Refusal& refusal) {
  for (auto& [id, job] : jobs_) {
    std::vector<SectionTask*> parked = std::move(job->parked);
    job->parked.clear();
    for (SectionTask* task : parked) {
      Unpark();
      Refuse(task, refusal);
    }
  }
  for (auto& [id, gate] : gates_) RefuseWaiting(gate, refusal);
  options_.counters->waiting_for_commit.Add(
      -static_cast<int64_t>(behind_.size()));
  for (auto& [lsn, task] : std::exchange(behind_, {})) Refuse(task, refusal);
  options_.counters->waiting_for_rows.Add(
      -static_cast<int64_t>(waiting_for_rows_.size()));
  for (SectionTask* task : std::exchange(waiting_for_rows_, {})) {
    if (task->is_pull) Unpark();
    Refuse(task, refusal);
  }
}

void Shard::StopServing() {
  stopping_ = true;
  FailWaiting({absl::UnavailableError("the server is shutting down"),
               wire::Reason::kShuttingDown});
}

}  // namespace paramo
