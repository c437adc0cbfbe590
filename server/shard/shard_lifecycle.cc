// What happens to a shard besides pushes and pulls: configuration, tables,
// members, rounds, deadlines, the end. Everything that rows depend on becomes
// a record first, and takes effect when that record is applied.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "server/shard/shard.h"

namespace paramo {

void Shard::ApplyView(const ClusterView& view) {
  ApplyConfig(view.shards[options_.id]);
  ApplyTables(view);
  for (const JobView& job : view.jobs) ApplyJob(job);
  UpdateDirty();
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
  serving_ = serves;
}

void Shard::ApplyTables(const ClusterView& view) {
  for (const auto& entry : view.tables) {
    const std::shared_ptr<const TableConfig>& config = entry.second;
    auto table = tables_.find(config->id);
    if (table != tables_.end() &&
        table->second->config().version == config->version) {
      continue;
    }
    Append(RecordKind::kCatalogue, [this, config](Lsn) {
      std::unique_ptr<TableShard>& table = tables_[config->id];
      if (table == nullptr) {
        table = std::make_unique<TableShard>(*config, options_.id);
        return;
      }
      absl::Status altered = table->SetConfig(*config);
      if (!altered.ok()) {
        LogError("table %s: alter refused: %s", config->name,
                 std::string(altered.message()));
      }
    });
  }
  std::vector<TableId> dropped;
  for (const auto& [id, table] : tables_) {
    if (!view.tables.contains(id)) dropped.push_back(id);
  }
  for (TableId id : dropped) {
    Append(RecordKind::kCatalogue, [this, id](Lsn) {
      auto table = tables_.find(id);
      if (table == tables_.end()) return;
      dirty_rows_ -= table->second->dirty_rows();
      tables_.erase(table);
    });
  }
}

void Shard::ApplyJob(const JobView& view) {
  std::unique_ptr<Job>& job = jobs_[view.id];
  if (job == nullptr) {
    job = std::make_unique<Job>();
    job->id = view.id;
    job->name = view.name;
    job->sync = view.sync;
    job->policy = MakeSyncPolicy(view.sync);
  }
  job->name = view.name;
  job->staleness = &options_.counters->StalenessOf(view.name);
  for (const MemberView& member : view.members) ApplyMember(*job, member);
}

void Shard::ApplyMember(Job& job, const MemberView& member) {
  auto known = job.members.find(member.worker);
  bool same = known != job.members.end() &&
              known->second.session == member.session &&
              known->second.session_epoch == member.session_epoch;
  if (same && known->second.left == member.left) return;
  Append(RecordKind::kMembership, [this, &job, member, same](Lsn) {
    MemberView& now = job.members[member.worker];
    if (now.session != kNoSession && !now.left && (member.left || !same)) {
      LeaveJob(job, now, same ? member.left_clock : 0);
    }
    if (!same && !member.left)
      job.policy->Join(member.worker, member.first_clock);
    now = member;
    memberships_[member.session] = {&job, member.worker, member.left};
    AnswerParked(job);
    CloseCompleteRounds(job);
  });
}

// The worker is gone: nobody waits for it, and its session is over here.
void Shard::LeaveJob(Job& job, MemberView& member, WorkerClock left_clock) {
  job.policy->Leave(member.worker);
  options_.counters->contributions_dead.Add(
      job.rounds.DropWorker(member.worker, left_clock));
  memberships_[member.session].left = true;
  auto session = sessions_.find(member.session);
  if (session == sessions_.end()) return;
  auto held = std::move(session->second->held());
  sessions_.erase(session);
  for (auto& [seq, task] : held) {
    options_.counters->held_pushes.Add(-1);
    Refuse(task, {absl::FailedPreconditionError("the worker left its job"),
                  wire::Reason::kNotAMember});
  }
}

void Shard::CloseCompleteRounds(Job& job) {
  if (job.closing) return;
  std::optional<WorkerClock> round = job.policy->CompleteRound();
  if (round.has_value()) return AppendClose(job, *round);
  if (job.policy->RoundHasContributor()) StartDeadline(job);
}

void Shard::AppendClose(Job& job, WorkerClock round) {
  job.closing = true;
  StopDeadline(job);
  Append(RecordKind::kRoundClose, [this, &job, round](Lsn lsn) {
    job.closing = false;
    CloseRound(job, round, lsn);
    CloseCompleteRounds(job);
  });
}

void Shard::StartDeadline(Job& job) {
  if (job.sync.deadline_ms == 0) return;
  if (job.deadline != absl::InfiniteDuration()) return;
  job.deadline =
      options_.clock->Now() + absl::Milliseconds(job.sync.deadline_ms);
  options_.counters->round_deadlines.Add(1);
}

void Shard::StopDeadline(Job& job) {
  if (job.deadline == absl::InfiniteDuration()) return;
  job.deadline = absl::InfiniteDuration();
  options_.counters->round_deadlines.Add(-1);
}

void Shard::CloseRound(Job& job, WorkerClock round, Lsn lsn) {
  uint32_t rows_skipped = 0;
  job.rounds.Close(
      round,
      [this](TableId id) {
        const TableShard* table = this->table(id);
        return table == nullptr ? 0 : table->config().dim;
      },
      [&](const MeanGradient& mean) {
        ApplyRows(*tables_.at(mean.table), mean.keys, mean.rows.data(),
                  {.lsn = lsn, .clock = round}, &rows_skipped);
      });
  job.policy->CloseRound(round);
  options_.rounds->Note(job.id, job.policy->open_round());
  options_.counters->rounds.Add();
  AnswerParked(job);
}

void Shard::Expire(absl::Duration now) {
  std::vector<std::pair<SectionTask*, Refusal>> expired;
  for (auto& [id, job] : jobs_) {
    if (serving_ && job->deadline <= now && !job->closing) {
      AppendClose(*job, job->policy->open_round());  // a logged decision
    }
    std::vector<SectionTask*> waiting;
    for (SectionTask* task : job->parked) {
      if (task->deadline > now) {
        waiting.push_back(task);
        continue;
      }
      Unpark();
      expired.push_back({task,
                         {absl::DeadlineExceededError(WaitingFor(*job)),
                          wire::Reason::kDeadline}});
    }
    job->parked = std::move(waiting);
  }
  for (auto& [id, session] : sessions_) {
    auto& held = session->held();
    for (auto task = held.begin(); task != held.end();) {
      if (task->second->deadline > now) {
        ++task;
        continue;
      }
      options_.counters->held_pushes.Add(-1);
      task->second->reply.header.expected_seq = session->last() + 1;
      expired.push_back(
          {task->second,
           {absl::AbortedError(absl::StrCat(
                "number ", session->last() + 1,
                " of the session has not come; send this one after it")),
            wire::Reason::kSeqGap}});
      task = held.erase(task);
    }
  }
  for (auto& [task, refusal] : expired) Refuse(task, refusal);
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
  for (auto& [id, session] : sessions_) {
    auto held = std::move(session->held());
    session->held().clear();
    for (auto& [seq, task] : held) {
      options_.counters->held_pushes.Add(-1);
      Refuse(task, refusal);
    }
  }
}

void Shard::StopServing() {
  serving_ = false;
  FailWaiting({absl::UnavailableError("the server is shutting down"),
               wire::Reason::kShuttingDown});
}

}  // namespace paramo
