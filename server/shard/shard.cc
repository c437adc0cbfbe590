#include "server/shard/shard.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"

namespace paramo {

Shard::Shard(const Options& options)
    : options_(options), replication_(MakeAlone(*this)) {}

Shard::~Shard() = default;

void Shard::RunTask(StrandTask* strand_task) {
  SectionTask* task = static_cast<SectionTask*>(strand_task);
  Shard* shard = task->shard;
  if (task->is_pull) {
    shard->Pull(task);
  } else {
    shard->Push(task);
  }
  shard->UpdateDirty();
}

const TableShard* Shard::table(TableId id) const {
  auto table = tables_.find(id);
  return table == tables_.end() ? nullptr : table->second.get();
}

ShardReport Shard::Report() const {
  ShardReport report;
  report.shard = options_.id;
  report.serving = serving_;
  report.epoch = config_.epoch;
  report.lsn = applied_;
  report.sessions = sessions_.size();
  for (const auto& [id, table] : tables_) {
    report.rows += table->rows();
    report.dirty_rows += table->dirty_rows();
    report.bytes += table->bytes();
  }
  for (const auto& [id, job] : jobs_) report.parked += job->parked.size();
  return report;
}

// The caller's record takes the next lsn; what it does happens at commit.
void Shard::Append(RecordKind kind, std::function<void(Lsn)> apply) {
  ++appended_;
  pending_.push_back({appended_, std::move(apply)});
  replication_->Append(kind, config_.epoch, appended_);
}

// Applying a record may append another (a push completes a round): that one
// waits its turn in pending_, so the depth never grows (invariant 1).
void Shard::OnCommitted(Lsn lsn) {
  PARAMO_CHECK(lsn >= committed_);
  committed_ = lsn;
  if (applying_) return;
  applying_ = true;
  while (!pending_.empty() && pending_.front().lsn <= committed_) {
    Pending record = std::move(pending_.front());
    pending_.pop_front();
    PARAMO_CHECK(record.lsn == applied_ + 1);
    applied_ = record.lsn;
    record.apply(record.lsn);
  }
  applying_ = false;
}

Shard::Refusal Shard::Fence(const SectionTask& task) const {
  const wire::SectionHeader& header = task.header();
  if (!serving_) {
    return {absl::AbortedError(
                absl::StrCat("shard ", options_.id,
                             " is not served here; refresh the shard map")),
            wire::Reason::kWrongShard};
  }
  if (header.has(wire::kEpoch) && header.epoch != config_.epoch) {
    return {absl::AbortedError(absl::StrCat(
                "shard ", options_.id, " is at epoch ", config_.epoch,
                ", the request at ", header.epoch, "; refresh the shard map")),
            wire::Reason::kWrongEpoch};
  }
  if (header.has(wire::kHistory) && header.history != config_.history) {
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
  reply.epoch = config_.epoch;
  reply.history = config_.history;
  reply.replicas = replication_->replicas();
  if (Membership* member = FindMembership(task->header().session)) {
    reply.clock = member->job->policy->VisibleClock();
  }
  auto table = tables_.find(task->header().table);
  if (table != tables_.end()) {
    reply.table_version = table->second->config().version;
  }
  task->done(task);
}

void Shard::Refuse(SectionTask* task, const Refusal& refusal) {
  options_.counters->CountRefusal(refusal.reason);
  wire::SectionReply& reply = task->reply;
  reply.header.code = static_cast<uint32_t>(refusal.status.code());
  reply.header.reason = static_cast<uint32_t>(refusal.reason);
  if (refusal.reason == wire::Reason::kOverloaded) {
    reply.header.retry_after_ms = kRetryAfterMs;
  }
  reply.message = std::string(refusal.status.message().data(),
                              refusal.status.message().size())
                      .substr(0, kErrorBytesMax);
  Finish(task);
}

Shard::Membership* Shard::FindMembership(SessionId session) {
  if (session == kNoSession) return nullptr;
  auto found = memberships_.find(session);
  return found == memberships_.end() ? nullptr : &found->second;
}

void Shard::UpdateDirty() {
  size_t state = applied_ > flushed_lsn_ ? 1 : 0;
  dirty_.store(dirty_rows_ + rows_in_flush_ + state, std::memory_order_relaxed);
}

}  // namespace paramo
