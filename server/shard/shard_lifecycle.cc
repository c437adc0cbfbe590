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
  if (!Changes(*job, view)) return;
  // One record for all: who comes and who goes, and that rounds stand still,
  // take effect together, before any round closes.
  Append(RecordKind::kMembership,
         [this, job = job.get(), view](Lsn) { ApplyMembers(*job, view); });
}

bool Shard::Changes(const Job& job, const JobView& view) const {
  bool frozen = false;
  for (const MemberView& member : view.members) {
    frozen = frozen || member.undecided();
    auto known = job.members.find(member.session);
    if (known == job.members.end() || known->second.live() != member.live() ||
        known->second.gone() != member.gone()) {
      return true;
    }
  }
  return frozen != job.frozen;
}

void Shard::ApplyMembers(Job& job, const JobView& view) {
  job.frozen = false;
  for (const MemberView& member : view.members) {
    job.frozen = job.frozen || member.undecided();
    ApplyMember(job, member);
  }
  AnswerParked(job);
  CloseCompleteRounds(job);
}

// joining -> live -> fenced -> gone, each step of which a shard may miss: a
// view may be the first one for long. Earlier holders of a rank come first.
void Shard::ApplyMember(Job& job, const MemberView& member) {
  MemberView& before = job.members.try_emplace(member.session).first->second;
  const bool known = before.session != kNoSession;
  const bool takes_part =
      known && (before.live() || (before.left && before.undecided()));
  if (member.left) FenceMember(member);
  if (member.gone() && takes_part) LeaveJob(job, member);
  if (member.live() && !takes_part) {
    job.policy->Join(member.worker, member.first_clock);
  }
  before = member;
  memberships_[member.session] = {&job, member.worker, member.left};
}

// Nothing more is taken of it; its session is over here.
void Shard::FenceMember(const MemberView& member) {
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

// Nobody waits for it any more.
void Shard::LeaveJob(Job& job, const MemberView& member) {
  job.policy->Leave(member.worker);
  options_.counters->contributions_dead.Add(
      job.rounds.DropWorker(member.worker, member.left_clock));
}

void Shard::CloseCompleteRounds(Job& job) {
  if (job.closing || job.frozen) return;
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
    if (serving_ && job->deadline <= now && !job->closing && !job->frozen) {
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
