#include "server/shard/shard.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"

namespace paramo {

Shard::Shard(const Options& options)
    : options_(options), replica_(MakeReplica()) {}

Shard::~Shard() = default;

void Shard::RunTask(StrandTask* strand_task) {
  SectionTask* task = static_cast<SectionTask*>(strand_task);
  Shard* shard = task->shard;
  if (shard->serving_ == Serving::kNothing && shard->IsNamedPrimary()) {
    shard->WaitBehind(kUntilServing, task);
  } else if (shard->applied_ < shard->proposed_) {
    shard->WaitBehind(shard->proposed_, task);
  } else {
    shard->Handle(task);
  }
  shard->UpdateDirty();
}

void Shard::Handle(SectionTask* task) {
  if (task->is_pull) {
    Pull(task);
  } else {
    Push(task);
  }
}

const TableShard* Shard::table(TableId id) const {
  auto table = tables_.find(id);
  return table == tables_.end() ? nullptr : table->second.get();
}

// A table that this server has yet to hear of, or that its log has yet to
// have, is worth another try.
Shard::Refusal Shard::NoTable(const wire::SectionHeader& header) const {
  const bool seen = header.table_version > 0;  // by who sent this
  if (view_ != nullptr && (view_->FindTable(header.table) != nullptr ||
                           (seen && header.table > view_->newest_table))) {
    return {absl::AbortedError(absl::StrCat("table ", header.table,
                                            " has not arrived here yet")),
            wire::Reason::kTableVersion};
  }
  return {absl::NotFoundError(
              absl::StrCat("no table with id ", header.table,
                           "; it may have been dropped: list the tables")),
          wire::Reason::kUnknownTable};
}

uint32_t Shard::DimOf(TableId id) const {
  const TableShard* table = this->table(id);
  return table == nullptr ? 0 : table->config().dim;
}

ShardReport Shard::Report() const {
  ShardReport report;
  report.shard = options_.id;
  report.serving = serving_ != Serving::kNothing;
  report.role = RoleName(replica_->role());
  report.epoch = config().epoch;
  report.history = replica_->history();
  report.lsn = applied_;
  report.last = replica_->last_position();
  report.sessions = sessions_.size();
  for (const auto& [id, table] : tables_) {
    report.rows += table->rows();
    report.resident_rows += table->resident_rows();
    report.dirty_rows += table->dirty_rows();
    report.bytes += table->bytes();
  }
  for (const auto& [id, job] : jobs_) report.parked += job->parked.size();
  return report;
}

void Shard::WaitBehind(Lsn lsn, SectionTask* task) {
  behind_.emplace(lsn, task);
  options_.counters->waiting_for_commit.Add(1);
}

void Shard::RunBehind() {
  while (!behind_.empty() && behind_.begin()->first <= applied_) {
    SectionTask* task = behind_.begin()->second;
    behind_.erase(behind_.begin());
    options_.counters->waiting_for_commit.Add(-1);
    Handle(task);
  }
}

// The record may be applied before the replica returns from Append, and that
// may append the next: so everything is in place before.
void Shard::Append(RecordKind kind, Rope payload, Durability durability,
                   SectionTask* task) {
  if (task != nullptr) waiting_.push_back({appended() + 1, task});
  replica_->Append(kind, std::move(payload), durability, options_.clock->Now());
}

SectionTask* Shard::TakeWaiting(Lsn lsn) {
  if (waiting_.empty() || waiting_.front().lsn != lsn) return nullptr;
  SectionTask* task = waiting_.front().task;
  waiting_.pop_front();
  return task;
}

Shard::Refusal Shard::Fence(const SectionTask& task) const {
  const wire::SectionHeader& header = task.header();
  if (stopping_) {
    return {absl::UnavailableError("the server is shutting down"),
            wire::Reason::kShuttingDown};
  }
  if (serving_ == Serving::kNothing) {
    return {absl::AbortedError(
                absl::StrCat("shard ", options_.id,
                             " is not served here; refresh the shard map")),
            wire::Reason::kWrongShard};
  }
  if (!task.is_pull && serving_ != Serving::kAll) {
    return {absl::UnavailableError(absl::StrCat(
                "shard ", options_.id, " has ", config().in_sync.size(),
                " in-sync replicas, pushes need ", config().min_insync)),
            wire::Reason::kReplicas};
  }
  // Within a term replicas join and leave, and nothing else changes.
  if (header.has(wire::kEpoch) &&
      (header.epoch < config().term || header.epoch > config().epoch)) {
    return {absl::AbortedError(absl::StrCat(
                "shard ", options_.id, " is at epoch ", config().epoch,
                ", the request at ", header.epoch, "; refresh the shard map")),
            wire::Reason::kWrongEpoch};
  }
  if (header.has(wire::kHistory) && header.history != config().history) {
    return {absl::AbortedError(
                absl::StrCat("shard ", options_.id,
                             " has another history; refresh the shard map")),
            wire::Reason::kWrongHistory};
  }
  return {};
}

void Shard::Finish(SectionTask* task) {
  wire::SectionReplyHeader& reply = task->reply.header;
  reply.shard = options_.id;
  reply.epoch = config().epoch;
  reply.history = config().history;
  reply.replicas = replica_->replicas();
  if (Membership* member = FindMembership(task->header().session)) {
    reply.clock = member->job->policy->VisibleClock();
  }
  auto table = tables_.find(task->header().table);
  if (table != tables_.end()) {
    reply.table_version = table->second->config().version;
  }
  task->pins.Release();
  RunFollowers(std::exchange(task->followers, {}));
  task->done(task);
}

void Shard::RunFollowers(const std::vector<SectionTask*>& pulls) {
  for (SectionTask* pull : pulls) strand_.Post(pull);
}

void Shard::NoteRefusal(wire::SectionReply& reply, const Refusal& refusal) {
  options_.counters->CountRefusal(refusal.reason);
  reply.header.code = static_cast<uint32_t>(refusal.status.code());
  reply.header.reason = static_cast<uint32_t>(refusal.reason);
  if (refusal.reason == wire::Reason::kOverloaded) {
    reply.header.retry_after_ms = kRetryAfterMs;
  }
  reply.message = std::string(refusal.status.message().data(),
                              refusal.status.message().size())
                      .substr(0, kErrorBytesMax);
}

void Shard::Refuse(SectionTask* task, const Refusal& refusal) {
  NoteRefusal(task->reply, refusal);
  Finish(task);
}

// Whoever waits at a session's gate, which goes or starts anew.
void Shard::RefuseWaiting(SessionGate& gate, const Refusal& refusal) {
  options_.counters->held_pushes.Add(-static_cast<int64_t>(gate.held().size()));
  for (SectionTask* task : gate.TakeWaiting()) Refuse(task, refusal);
}

Shard::Membership* Shard::FindMembership(SessionId session) {
  if (session == kNoSession) return nullptr;
  auto found = memberships_.find(session);
  return found == memberships_.end() ? nullptr : &found->second;
}

}  // namespace paramo
