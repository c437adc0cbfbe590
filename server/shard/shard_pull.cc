// A pull on its shard: fence, check, sync gate, gather. A pull that the sync
// policy does not let through yet is parked; the event that frees it, or its
// deadline, answers it.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/shard/decode.h"
#include "server/shard/shard.h"

namespace paramo {

void Shard::Pull(SectionTask* task) {
  Refusal refusal = Fence(*task);
  if (!refusal.refused()) refusal = CheckPull(*task);
  if (refusal.refused()) return Refuse(task, refusal);
  if (SectionTask* push = task->follows_push ? PushBefore(*task) : nullptr) {
    push->followers.push_back(task);
    return;
  }
  const Lsn needed = NeededLsn(*task);
  task->follows_push = false;  // that push is what it waits for, if it has to
  if (needed > applied_) return WaitBehind(needed, task);
  Membership* membership = FindMembership(task->header().session);
  if (membership == nullptr) return Gather(task);
  if (membership->left) {
    return Refuse(task, {absl::FailedPreconditionError(
                             "the worker left its job or was declared dead; "
                             "join again"),
                         wire::Reason::kNotAMember});
  }
  Job& job = *membership->job;
  if (job.policy->PullReady(task->header().clock)) return Gather(task);
  Park(task, job);
}

// What the answer must contain: all that the session has seen, and the pushes
// that came in the same request.
Lsn Shard::NeededLsn(const SectionTask& task) const {
  const wire::SectionHeader& header = task.header();
  const Lsn floor = header.has(wire::kFloorLsn) ? header.floor_lsn : 0;
  return task.follows_push ? std::max(floor, appended()) : floor;
}

// A push of the same request that waits for its rows, or for a push that does.
SectionTask* Shard::PushBefore(const SectionTask& pull) {
  for (SectionTask* task : waiting_for_rows_) {
    if (!task->is_pull && task->data == pull.data) return task;
  }
  auto gate = gates_.find(pull.header().session);
  if (gate == gates_.end()) return nullptr;
  for (const auto& [seq, task] : gate->second.held()) {
    if (task->data == pull.data) return task;
  }
  return nullptr;
}

Shard::Refusal Shard::CheckPull(SectionTask& task) const {
  absl::Status crc = wire::CheckCrc(task.data->rope, task.section);
  if (!crc.ok()) return {crc, wire::Reason::kChecksum};
  if (task.keys.empty()) {
    return {absl::InvalidArgumentError("no keys to pull"), wire::Reason::kKeys};
  }
  const wire::SectionHeader& header = task.header();
  const TableShard* table = this->table(header.table);
  if (table == nullptr) return NoTable(header);
  if (header.table_version > table->config().version ||
      task.out_dim != table->config().dim) {
    return {absl::AbortedError("the table's version has not arrived here yet"),
            wire::Reason::kTableVersion};
  }
  // The session has seen a newer state than this server has.
  if (header.floor_epoch > config().epoch || header.floor_lsn > appended()) {
    return {absl::AbortedError(
                absl::StrCat("this server is at epoch ", config().epoch,
                             ", lsn ", appended(), ", the session at epoch ",
                             header.floor_epoch, ", lsn ", header.floor_lsn)),
            wire::Reason::kWrongEpoch};
  }
  DecodeError error = DecodeKeys(task, options_.shard_count);
  return {error.status, error.reason};
}

void Shard::Gather(SectionTask* task) {
  const TableShard* table = this->table(task->header().table);
  if (table == nullptr) {  // dropped while the pull was parked
    return Refuse(task, {absl::NotFoundError("the table was dropped"),
                         wire::Reason::kUnknownTable});
  }
  const Refusal lost = HoldRowsOf(task);
  if (lost.refused()) return Refuse(task, lost);
  if (task->fetch != 0) return WaitForRows(task);
  if (task->outs.empty()) {
    table->Gather(task->keys, task->out, *task->codec);
  } else {
    table->Gather(task->keys, task->outs.data(), *task->codec);
  }
  task->reply.header.codec = task->codec->id;
  options_.counters->pull_rows.Add(task->keys.size());
  task->reply.header.lsn = applied_;
  Finish(task);
}

void Shard::Park(SectionTask* task, Job& job) {
  if (!CountParked(task)) return;
  KeepKeys(task);
  job.parked.push_back(task);
}

// False: too many wait, and this one was refused.
bool Shard::CountParked(SectionTask* task) {
  size_t parked = options_.parked->fetch_add(1, std::memory_order_relaxed);
  if (parked >= kParkedPullsMax) {
    options_.parked->fetch_sub(1, std::memory_order_relaxed);
    Refuse(task, {absl::ResourceExhaustedError(
                      absl::StrCat(kParkedPullsMax, " pulls are parked here")),
                  wire::Reason::kOverloaded});
    return false;
  }
  options_.counters->parked_pulls.Add(1);
  return true;
}

// A parked pull keeps its own keys and lets go of the received bytes.
void Shard::KeepKeys(SectionTask* task) {
  if (task->data == nullptr) return;  // it was parked before
  task->own_keys.assign(task->keys.begin(), task->keys.end());
  task->keys = absl::MakeSpan(task->own_keys);
  task->data.reset();
  task->parked_at = options_.clock->Now();
}

void Shard::Unpark() {
  options_.parked->fetch_sub(1, std::memory_order_relaxed);
  options_.counters->parked_pulls.Add(-1);
}

void Shard::AnswerParked(Job& job) {
  if (job.parked.empty()) return;
  std::vector<SectionTask*> ready;
  auto still_waiting = [&](SectionTask* task) {
    Membership* member = FindMembership(task->header().session);
    bool waits = member != nullptr && !member->left &&
                 !job.policy->PullReady(task->header().clock);
    if (!waits) ready.push_back(task);
    return waits;
  };
  job.parked.erase(std::stable_partition(job.parked.begin(), job.parked.end(),
                                         still_waiting),
                   job.parked.end());
  for (SectionTask* task : ready) {
    Unpark();
    task->parked = options_.clock->Now() - task->parked_at;
    Membership* member = FindMembership(task->header().session);
    if (member == nullptr || member->left) {
      Refuse(task, {absl::FailedPreconditionError(
                        "the worker left its job or was declared dead"),
                    wire::Reason::kNotAMember});
    } else {
      Gather(task);
    }
  }
}

void Shard::ExpirePulls(absl::Duration now) {
  std::vector<SectionTask*> late;
  for (auto it = behind_.begin(); it != behind_.end();) {
    const bool expired = it->second->deadline <= now;
    if (expired) late.push_back(it->second);
    it = expired ? behind_.erase(it) : std::next(it);
  }
  options_.counters->waiting_for_commit.Add(-static_cast<int64_t>(late.size()));
  for (SectionTask* task : late) {
    Refuse(task, {absl::DeadlineExceededError(
                      "what the request waits for has not been committed"),
                  wire::Reason::kDeadline});
  }
  std::vector<std::pair<SectionTask*, Job*>> expired;
  for (auto& [id, job] : jobs_) {
    std::vector<SectionTask*> waiting;
    for (SectionTask* task : job->parked) {
      if (task->deadline > now) {
        waiting.push_back(task);
      } else {
        expired.push_back({task, job.get()});
      }
    }
    job->parked = std::move(waiting);
  }
  for (auto& [task, job] : expired) {
    Unpark();
    Refuse(task, {absl::DeadlineExceededError(WaitingFor(*job)),
                  wire::Reason::kDeadline});
  }
}

std::string Shard::WaitingFor(const Job& job) const {
  if (job.policy->gathering()) {
    return absl::StrCat("job ", job.name,
                        " waits at clock 0 for all its workers to join");
  }
  WorkerClock slowest = job.policy->SlowestClock();
  std::string behind;
  for (const auto& [worker, member] : job.policy->members()) {
    if (member.next > slowest) continue;
    absl::StrAppend(&behind, behind.empty() ? "" : ", ", worker);
  }
  return absl::StrCat("job ", job.name, " waits at clock ", slowest,
                      " for workers ", behind);
}

}  // namespace paramo
