// A push on its shard. The order of the checks is part of the specification
// (docs/data_path.md): fence, checksum, session, sequence, shape, values, sync
// policy; then append, commit, apply, answer.
#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "server/shard/decode.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

// Refusals that leave the sequence number unused: the client sends it again.
bool ConsumesNumber(const absl::Status& status) {
  return !absl::IsAborted(status) && !absl::IsResourceExhausted(status) &&
         !absl::IsUnavailable(status) && !absl::IsDataLoss(status);
}

// The last member to end a step closes the rounds before it, one by one.
absl::Status CheckAhead(const SyncSpec& sync, const SyncPolicy& policy,
                        WorkerClock clock) {
  const bool rounds =
      sync.kind == SyncKind::kBsp || sync.kind == SyncKind::kRound;
  const WorkerClock open = policy.open_round();
  if (!rounds || clock < open || clock - open < kRoundsAheadMax) return {};
  return absl::ResourceExhaustedError(absl::StrCat(
      "step ", clock, " is ", kRoundsAheadMax, " or more ahead of round ", open,
      ", which is open: wait for the slower workers"));
}

}  // namespace

void Shard::Push(SectionTask* task) {
  Refusal refusal = Fence(*task);
  if (refusal.refused()) return Refuse(task, refusal);
  absl::Status crc = wire::CheckCrc(task->data->rope, task->section);
  if (!crc.ok()) return Refuse(task, {crc, wire::Reason::kChecksum});

  Session* session = FindSession(task->header(), refusal);
  if (refusal.refused()) return Refuse(task, refusal);
  if (session == nullptr) return HandleFresh(task, nullptr);

  switch (session->Check(task->header())) {
    case SeqVerdict::kFresh:
      HandleFresh(task, session);
      while (SectionTask* next = session->TakeNext()) {
        options_.counters->held_pushes.Add(-1);
        HandleFresh(next, session);
      }
      return;
    case SeqVerdict::kDuplicate:
      return AnswerDuplicate(task, *session);
    case SeqVerdict::kHold:
      options_.counters->held_pushes.Add(1);
      task->deadline =
          std::min(task->deadline,
                   options_.clock->Now() + absl::Milliseconds(kHeldPushMs));
      if (SectionTask* replaced = session->Hold(task->header().seq, task)) {
        options_.counters->held_pushes.Add(-1);
        Refuse(replaced, {absl::AbortedError("sent again meanwhile"),
                          wire::Reason::kSeqGap});
      }
      return;
    case SeqVerdict::kGap:
      task->reply.header.expected_seq = session->last() + 1;
      return Refuse(task, {absl::AbortedError(absl::StrCat(
                               "number ", task->header().seq, " is more than ",
                               kSessionWindow, " ahead; expected is ",
                               session->last() + 1)),
                           wire::Reason::kSeqGap});
    case SeqVerdict::kMismatch:
      return Refuse(
          task, {absl::InvalidArgumentError(absl::StrCat(
                     "number ", task->header().seq,
                     " was used before with other bytes: two clients share a "
                     "session, or a client lost count; open a new session")),
                 wire::Reason::kSeqMismatch});
    case SeqVerdict::kForgotten:
      return Refuse(task, {absl::FailedPreconditionError(absl::StrCat(
                               "number ", task->header().seq,
                               " was answered long ago; more than ",
                               kSessionWindow, " pushes were in flight")),
                           wire::Reason::kSessionExpired});
  }
}

Session* Shard::FindSession(const wire::SectionHeader& header,
                            Refusal& refusal) {
  if (header.session == kNoSession || header.seq == 0) return nullptr;
  if (Membership* member = FindMembership(header.session);
      member != nullptr && member->left) {
    refusal = {absl::FailedPreconditionError(
                   "the worker left its job or was declared dead; join again"),
               wire::Reason::kNotAMember};
    return nullptr;
  }
  auto found = sessions_.find(header.session);
  if (found != sessions_.end() &&
      found->second->epoch() == header.session_epoch) {
    return found->second.get();
  }
  if (found != sessions_.end() &&
      header.session_epoch < found->second->epoch()) {
    refusal = {absl::FailedPreconditionError(
                   "a newer incarnation of this session is active"),
               wire::Reason::kSessionFenced};
    return nullptr;
  }
  if (header.seq > kSessionWindow) {
    refusal = {
        absl::FailedPreconditionError(absl::StrCat(
            "session ", header.session, " is unknown here and its number is ",
            header.seq, ": it expired; open a new one")),
        wire::Reason::kSessionExpired};
    return nullptr;
  }
  if (found == sessions_.end() && sessions_.size() >= kSessionsPerShardMax) {
    refusal = {absl::ResourceExhaustedError(absl::StrCat(
                   "the shard has ", kSessionsPerShardMax, " sessions")),
               wire::Reason::kOverloaded};
    return nullptr;
  }
  std::unique_ptr<Session>& session = sessions_[header.session];
  if (session != nullptr) {  // a newer incarnation: the older is fenced
    for (auto& [seq, task] : session->held()) {
      options_.counters->held_pushes.Add(-1);
      Refuse(task, {absl::FailedPreconditionError("session fenced"),
                    wire::Reason::kSessionFenced});
    }
  }
  session = std::make_unique<Session>(header.session_epoch);
  return session.get();
}

// Clock, shape, dimensions, values. Fills task.keys and task.rows.
Shard::Refusal Shard::Validate(SectionTask& task) const {
  const wire::SectionHeader& header = task.header();
  auto member = memberships_.find(header.session);
  if (member != memberships_.end()) {
    const Job& job = *member->second.job;
    absl::Status ahead = CheckAhead(job.sync, *job.policy, header.clock);
    if (!ahead.ok()) return {ahead, wire::Reason::kOverloaded};
  }
  if (task.keys.empty() && task.section.keys.size == 0) {
    if (header.end_of_clock() && task.section.values.size == 0) return {};
    return {absl::InvalidArgumentError(
                "no keys; only the end of a clock may be empty"),
            wire::Reason::kKeys};
  }
  const TableShard* table = this->table(header.table);
  if (table == nullptr) {
    return {absl::NotFoundError(
                absl::StrCat("no table with id ", header.table,
                             "; it may have been dropped: list the tables")),
            wire::Reason::kUnknownTable};
  }
  if (header.table_version > table->config().version) {
    return {
        absl::AbortedError(absl::StrCat("table version ", header.table_version,
                                        " has not arrived here yet")),
        wire::Reason::kTableVersion};
  }
  DecodeError error = DecodeKeys(task, options_.shard_count);
  if (!error.status.ok()) return {error.status, error.reason};
  Refusal pulled = CheckPulled(task, *table);
  if (pulled.refused()) return pulled;
  error = DecodeRows(task, table->config().dim);
  if (!error.status.ok()) return {error.status, error.reason};
  absl::Status values =
      table->CheckFinite(task.keys, task.rows.data(), header.with_pulled());
  if (!values.ok()) return {values, wire::Reason::kNonFinite};
  absl::Status room = table->CheckRoom(task.keys);
  if (!room.ok()) return {room, wire::Reason::kRows};
  return {};
}

// `session` is null for a push without a number. A refusal that is final
// consumes its number, as a record of its own, so that it wedges nothing.
void Shard::HandleFresh(SectionTask* task, Session* session) {
  Refusal refusal = Validate(*task);
  if (!refusal.refused()) {
    Append(RecordKind::kPush,
           [this, task, session](Lsn lsn) { ApplyPush(task, session, lsn); });
  } else if (session != nullptr && ConsumesNumber(refusal.status)) {
    Append(RecordKind::kRefusal, [this, task, session, refusal](Lsn lsn) {
      wire::SectionReplyHeader& reply = task->reply.header;
      reply.lsn = lsn;
      reply.code = static_cast<uint32_t>(refusal.status.code());
      reply.reason = static_cast<uint32_t>(refusal.reason);
      session->Record(task->header(), reply);
      Refuse(task, refusal);
    });
  } else {
    Refuse(task, refusal);
  }
}

// The push is committed: apply it, remember the answer, give it.
void Shard::ApplyPush(SectionTask* task, Session* session, Lsn lsn) {
  const wire::SectionHeader header = task->header();  // task goes with Finish
  Membership* membership = FindMembership(header.session);
  wire::SectionReplyHeader& reply = task->reply.header;
  reply.lsn = lsn;
  const wire::Outcome outcome = ApplyGradient(*task, membership, lsn);
  reply.outcome = static_cast<uint32_t>(outcome);
  Job* job = membership == nullptr ? nullptr : membership->job;
  if (job != nullptr && header.end_of_clock()) {
    if (outcome == wire::Outcome::kAccumulated) {
      job->rounds.End(header.clock, membership->worker,
                      header.has(wire::kExamples) ? header.examples : 1);
    }
    const WorkerClock fastest = job->policy->FastestClock();
    if (job->staleness != nullptr) {
      job->staleness->Record(fastest > header.clock ? fastest - header.clock
                                                    : 0);
    }
    job->policy->EndClock(membership->worker, header.clock);
  }
  if (session != nullptr) session->Record(header, reply);
  Finish(task);
  if (job != nullptr && header.end_of_clock()) {
    CloseCompleteRounds(*job);
    AnswerParked(*job);  // ssp: the slowest may have moved
  }
}

wire::Outcome Shard::ApplyGradient(SectionTask& task, Membership* membership,
                                   Lsn lsn) {
  Admission admission = Admission::kApply;
  if (membership != nullptr) {
    admission = membership->job->policy->AdmitPush(membership->worker,
                                                   task.header().clock);
  }
  switch (admission) {
    case Admission::kApply:
      if (!task.keys.empty()) {
        ApplyRows(*tables_.at(task.header().table), task.keys, task.rows.data(),
                  StampOf(task, membership, lsn),
                  &task.reply.header.rows_skipped);
      }
      return wire::Outcome::kApplied;
    case Admission::kAccumulate:
      if (!task.keys.empty()) {
        membership->job->rounds.Add(
            task.header().clock, membership->worker,
            {task.header().table, task.header().examples, task.keys, task.rows,
             task.data, task.seams});
      }
      return wire::Outcome::kAccumulated;
    case Admission::kDrop:
    case Admission::kNotAMember:
      options_.counters->contributions_late.Add();
      return wire::Outcome::kDropped;
  }
  return wire::Outcome::kNone;
}

void Shard::ApplyRows(TableShard& table, absl::Span<const Key> keys,
                      const float* const* grads, PushStamp stamp,
                      uint32_t* rows_skipped) {
  // Wall time, for expiry by days; not part of what replicas compare.
  stamp.last_use = static_cast<uint32_t>(std::time(nullptr));
  size_t dirty_before = table.dirty_rows();
  ApplyResult result = table.Apply(keys, grads, stamp);
  dirty_rows_ += table.dirty_rows() - dirty_before;
  *rows_skipped += result.rows_skipped;
  options_.counters->push_rows.Add(keys.size());
  options_.counters->rows_created.Add(result.rows_created);
  options_.counters->rows_skipped.Add(result.rows_skipped);
}

void Shard::AnswerDuplicate(SectionTask* task, const Session& session) {
  options_.counters->duplicates.Add();
  const Session::Answer& answer = session.AnswerOf(task->header().seq);
  wire::SectionReplyHeader& reply = task->reply.header;
  reply.code = answer.code;
  reply.outcome = answer.outcome;
  reply.reason = answer.reason;
  reply.rows_skipped = answer.rows_skipped;
  reply.lsn = answer.lsn;
  if (answer.code != 0) {
    task->reply.message = absl::StrCat(
        "refused before: ",
        wire::ReasonName(static_cast<wire::Reason>(answer.reason)));
  }
  Finish(task);
}

}  // namespace paramo
