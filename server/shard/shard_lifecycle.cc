// What happens to a shard besides pushes and pulls: configuration, tables,
// members, deadlines, the end. Everything that rows depend on becomes a record
// first, and takes effect when that record is applied (shard_apply.cc).
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "paramo/v1/log_record.pb.h"
#include "server/shard/shard.h"

namespace paramo {

void Shard::ApplyView(const ClusterView& view) {
  ApplyConfig(view.shards[options_.id]);
  if (serving_) {
    ProposeTables(view);
    for (const JobView& job : view.jobs) ProposeMembers(job);
  }
  RunBehind();
  UpdateDirty();
}

// A record may be proposed twice when views follow each other quickly; the
// second changes nothing.
void Shard::Propose(RecordKind kind, std::string payload) {
  Append(kind, Rope::FromString(std::move(payload)), control_level_);
  proposed_ = appended_;
}

void Shard::ApplyConfig(const ShardConfig& config) {
  bool serves = config.primary == options_.server_id;
  bool changed = serves != serving_ || config.epoch != config_.epoch ||
                 config.history != config_.history;
  if (!changed) return;
  FailWaiting({absl::AbortedError("the shard's configuration changed; "
                                  "refresh the shard map"),
               wire::Reason::kWrongEpoch});
  config_ = config;
  replication_->Configure(config.epoch, config.history);
  serving_ = serves;
  for (auto& [id, job] : jobs_) CloseCompleteRounds(*job);
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
  auto job = jobs_.find(view.id);
  for (const MemberView& member : view.members) {
    if (job != jobs_.end()) {
      auto known = job->second->members.find(member.worker);
      if (known != job->second->members.end() &&
          known->second.session == member.session &&
          known->second.session_epoch == member.session_epoch &&
          known->second.left == member.left) {
        continue;
      }
    }
    v1::MembershipRecord record;
    record.set_job(view.id);
    record.set_job_name(view.name);
    ToProto(view.sync, *record.mutable_sync());
    ToProto(member, *record.mutable_member());
    Propose(RecordKind::kMembership, record.SerializeAsString());
  }
}

void Shard::Expire(absl::Duration now) {
  ExpireRounds(now);
  ExpirePulls(now);
  ExpireHeld(now);
}

void Shard::ExpireHeld(absl::Duration now) {
  std::vector<SectionTask*> expired;
  for (auto& [id, gate] : gates_) {
    auto& held = gate.held();
    for (auto task = held.begin(); task != held.end();) {
      if (task->second->deadline > now) {
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
}

void Shard::StopServing() {
  serving_ = false;
  FailWaiting({absl::UnavailableError("the server is shutting down"),
               wire::Reason::kShuttingDown});
}

}  // namespace paramo
