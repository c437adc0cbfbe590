// A push on its shard, up to its record. The order of the checks is part of
// the specification (docs/data_path.md): fence, checksum, session, sequence,
// shape, values; then append. What the record does: shard_apply.cc.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "paramo/v1/log_record.pb.h"
#include "server/shard/decode.h"
#include "server/shard/push_record.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

// Not those after which the client sends the same number again.
template <typename Refusal>
bool ConsumesNumber(const Refusal& refusal) {
  const absl::Status& status = refusal.status;
  return !absl::IsAborted(status) && !absl::IsResourceExhausted(status) &&
         !absl::IsUnavailable(status) &&
         (!absl::IsDataLoss(status) || refusal.reason == wire::Reason::kStore);
}

bool IsNumbered(const wire::SectionHeader& header) {
  return header.session != kNoSession && header.seq != 0;
}

std::string EncodeRefusal(const wire::SectionHeader& header,
                          const wire::SectionReplyHeader& reply) {
  v1::RefusalRecord proto;
  proto.set_session(header.session);
  proto.set_session_epoch(header.session_epoch);
  proto.set_seq(header.seq);
  proto.set_payload_hash_low(header.payload_hash_low);
  proto.set_payload_hash_high(header.payload_hash_high);
  proto.set_code(reply.code);
  proto.set_reason(reply.reason);
  return proto.SerializeAsString();
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

  const wire::SectionHeader& header = task->header();
  if (!IsNumbered(header)) return HandleFresh(task, nullptr);
  refusal = CheckSession(header);
  if (refusal.refused()) return Refuse(task, refusal);
  SessionGate& gate = GateOf(header);
  auto found = sessions_.find(header.session);
  const Session* session =
      found == sessions_.end() || found->second.epoch() != gate.epoch()
          ? nullptr
          : &found->second;

  switch (gate.Check(header, session)) {
    case SeqVerdict::kFresh:
      HandleFresh(task, &gate);
      return TakeHeld(header.session);
    case SeqVerdict::kPending:
      options_.counters->duplicates.Add();
      return gate.Attach(header.seq, task);
    case SeqVerdict::kDuplicate:
      options_.counters->duplicates.Add();
      return AnswerDuplicate(task, *session);
    case SeqVerdict::kHold:
      return Hold(task, gate);
    case SeqVerdict::kGap:
      task->reply.header.expected_seq = gate.appended() + 1;
      return Refuse(
          task, {absl::AbortedError(absl::StrCat(
                     "number ", header.seq, " is more than ", kSessionWindow,
                     " ahead; expected is ", gate.appended() + 1)),
                 wire::Reason::kSeqGap});
    case SeqVerdict::kMismatch:
      return Refuse(
          task, {absl::InvalidArgumentError(absl::StrCat(
                     "number ", header.seq,
                     " was used before with other bytes: two clients share a "
                     "session, or a client lost count; open a new session")),
                 wire::Reason::kSeqMismatch});
    case SeqVerdict::kForgotten:
      return Refuse(task, {absl::FailedPreconditionError(absl::StrCat(
                               "number ", header.seq,
                               " was answered long ago; more than ",
                               kSessionWindow, " pushes were in flight")),
                           wire::Reason::kSessionExpired});
  }
}

Shard::Refusal Shard::CheckSession(const wire::SectionHeader& header) const {
  auto member = memberships_.find(header.session);
  if (member != memberships_.end() && member->second.left) {
    return {absl::FailedPreconditionError(
                "the worker left its job or was declared dead; join again"),
            wire::Reason::kNotAMember};
  }
  auto session = sessions_.find(header.session);
  auto gate = gates_.find(header.session);
  std::optional<uint32_t> newest;
  if (session != sessions_.end()) newest = session->second.epoch();
  if (gate != gates_.end()) {
    newest = std::max(newest.value_or(0), gate->second.epoch());
  }
  if (newest.has_value() && header.session_epoch < *newest) {
    return {absl::FailedPreconditionError(
                "a newer incarnation of this session is active"),
            wire::Reason::kSessionFenced};
  }
  if (newest == header.session_epoch) return {};
  if (header.seq > kSessionWindow ||
      (!newest.has_value() && header.session <= expired_)) {
    return SessionExpired(header.session);
  }
  // More than the limit: members of jobs, which do not expire.
  if (!newest.has_value() &&
      std::max(sessions_.size(), gates_.size()) >=
          kSessionsPerShardMax + kSessionsExpiredAtOnce) {
    return {absl::ResourceExhaustedError(absl::StrCat(
                "the shard has ", kSessionsPerShardMax, " sessions in use")),
            wire::Reason::kOverloaded};
  }
  return {};
}

Shard::Refusal Shard::SessionExpired(SessionId session) const {
  if (session <= config().ended_sessions) {
    return {absl::FailedPreconditionError(absl::StrCat(
                "session ", session, " has ended: shard ", options_.id,
                " was promoted unsafely and may have lost pushes of it; open a "
                "new one")),
            wire::Reason::kSessionExpired};
  }
  return {absl::FailedPreconditionError(absl::StrCat(
              "session ", session, " has expired: ", kSessionsPerShardMax,
              " others were used since; open a new one")),
          wire::Reason::kSessionExpired};
}

SessionGate& Shard::GateOf(const wire::SectionHeader& header) {
  auto gate = gates_.find(header.session);
  if (gate != gates_.end() && gate->second.epoch() == header.session_epoch) {
    return gate->second;
  }
  if (gate != gates_.end()) {  // a newer incarnation: the older is fenced
    RefuseWaiting(gate->second,
                  {absl::FailedPreconditionError("session fenced"),
                   wire::Reason::kSessionFenced});
    gates_.erase(gate);
  }
  auto session = sessions_.find(header.session);
  const bool goes_on = session != sessions_.end() &&
                       session->second.epoch() == header.session_epoch;
  return gates_
      .emplace(header.session,
               SessionGate(header.session_epoch,
                           goes_on ? session->second.last() : 0))
      .first->second;
}

void Shard::Hold(SectionTask* task, SessionGate& gate) {
  options_.counters->held_pushes.Add(1);
  task->held_until = std::min(
      task->deadline, options_.clock->Now() + absl::Milliseconds(kHeldPushMs));
  if (SectionTask* replaced = gate.Hold(task->header().seq, task)) {
    options_.counters->held_pushes.Add(-1);
    Refuse(replaced,
           {absl::AbortedError("sent again meanwhile"), wire::Reason::kSeqGap});
  }
}

// The pushes that waited for the number before them. Handling one may end the
// session, and its gate with it.
void Shard::TakeHeld(SessionId session) {
  for (;;) {
    auto gate = gates_.find(session);
    if (gate == gates_.end()) return;
    SectionTask* next = gate->second.TakeNext();
    if (next == nullptr) return;
    options_.counters->held_pushes.Add(-1);
    HandleFresh(next, &gate->second);
  }
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
  if (table == nullptr) return NoTable(header);
  if (header.table_version > table->config().version) {
    return {
        absl::AbortedError(absl::StrCat("table version ", header.table_version,
                                        " has not arrived here yet")),
        wire::Reason::kTableVersion};
  }
  const size_t bytes = task.section.keys.size + task.section.values.size;
  if (bytes > kPushBytesMax) {
    return {absl::ResourceExhaustedError(absl::StrCat(
                "a push of ", bytes, " bytes to one shard; at most ",
                kPushBytesMax, ": send fewer keys at a time")),
            wire::Reason::kTooLarge};
  }
  DecodeError error = DecodeKeys(task, options_.shard_count);
  if (!error.status.ok()) return {error.status, error.reason};
  Refusal extras = CheckExtras(task, *table);
  if (extras.refused()) return extras;
  error = DecodeRows(task, table->config().dim);
  if (!error.status.ok()) return {error.status, error.reason};
  absl::Status values =
      table->CheckFinite(task.keys, task.rows.data(), header.with_pulled(),
                         header.initial(), *task.codec);
  if (!values.ok()) return {values, wire::Reason::kNonFinite};
  absl::Status room = table->CheckRoom(task.keys);
  if (!room.ok()) return {room, wire::Reason::kRows};
  Refusal memory = CheckMemory(*table);
  if (memory.refused()) return memory;
  return CheckLogRoom(task);
}

Shard::Refusal Shard::CheckLogRoom(const SectionTask& task) const {
  const size_t bytes = task.section.keys.size + task.section.values.size;
  if (replica_->HasRoom(bytes) && options_.port->HasRoom(bytes)) return {};
  return {absl::ResourceExhaustedError(
              "too many bytes of pushes wait for the log or for replicas"),
          wire::Reason::kOverloaded};
}

// `gate` is null for a push without a number. A refusal that is final consumes
// its number, as a record of its own, so that it wedges nothing.
void Shard::HandleFresh(SectionTask* task, SessionGate* gate) {
  Refusal refusal = Validate(*task);
  if (!refusal.refused()) {
    refusal = HoldRowsOf(task);
    if (task->fetch != 0) return WaitForRows(task);
  }
  if (refusal.refused() && (gate == nullptr || !ConsumesNumber(refusal))) {
    return Refuse(task, refusal);
  }
  wire::SectionHeader& header = task->section.header;
  if (gate != nullptr) gate->Append(header);
  // They wait for the record now; the task may be done when it is appended.
  RunFollowers(std::exchange(task->followers, {}));
  if (refusal.refused()) {
    NoteRefusal(task->reply, refusal);
    return Append(RecordKind::kRefusal,
                  Rope::FromString(EncodeRefusal(header, task->reply.header)),
                  control_level_, task);
  }
  header.shard = options_.id;
  if (!header.has(wire::kExamples)) header.examples = 1;
  const TableShard* table = this->table(header.table);
  Append(RecordKind::kPush, EncodePush(*task, DimOf(header.table)),
         table == nullptr ? control_level_ : table->config().durability, task);
}

void Shard::AnswerDuplicate(SectionTask* task, const Session& session) {
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
