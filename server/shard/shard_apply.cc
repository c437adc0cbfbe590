// What a committed record does. The same on every replica and in a replay of
// the log: nothing here may look at the clock, at who serves, or at anything
// that did not come by a record, but to answer who waits.
#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/log_record.pb.h"
#include "server/shard/push_record.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

template <typename Proto>
absl::Status Parse(const Record& record, Proto& proto) {
  if (proto.ParseFromString(record.payload.Flatten())) return absl::OkStatus();
  return absl::DataLossError("the record's payload cannot be read");
}

}  // namespace

void Shard::Apply(const Record& record) {
  const Lsn lsn = record.header.lsn;
  PARAMO_CHECK(lsn == applied_ + 1);  // the replica keeps the order
  applied_ = lsn;
  log_bytes_ += record.bytes();
  applied_header_ = record.header;
  SectionTask* task = TakeWaiting(lsn);
  absl::Status applied = ApplyRecord(record, task);
  next_rows_.clear();
  if (applied.ok()) return;
  replica_->Stop(
      Annotate(applied, absl::StrCat("shard ", options_.id, ", record ", lsn)));
}

absl::Status Shard::ApplyRecord(const Record& record, SectionTask* task) {
  switch (record.kind()) {
    case RecordKind::kPush:
      return ApplyPush(record, task);
    case RecordKind::kRefusal:
      return ApplyRefusal(record, task);
    case RecordKind::kCatalogue:
      return ApplyCatalogue(record);
    case RecordKind::kMembership:
      return ApplyMembership(record);
    case RecordKind::kRoundClose:
      return ApplyRoundClose(record);
    case RecordKind::kSession:
      return ApplySession(record);
    case RecordKind::kNoOp:
      return absl::OkStatus();
    default:
      return absl::DataLossError(absl::StrCat(
          "a record of kind ", record.header.kind,
          ", which this build does not know: use the build that wrote it"));
  }
}

// ---- Pushes -----------------------------------------------------------------

absl::Status Shard::ApplyPush(const Record& record, SectionTask* task) {
  SectionTask replayed(nullptr);  // stands in where nobody waits
  if (task == nullptr) {
    PARAMO_RETURN_IF_ERROR(DecodePush(
        record.payload, [this](TableId id) { return DimOf(id); }, replayed));
  }
  SectionTask& push = task == nullptr ? replayed : *task;
  const wire::SectionHeader header = push.header();  // goes with Finish
  PARAMO_ASSIGN_OR_RETURN(Session * session, SessionOf(header));
  Membership* membership = FindMembership(header.session);
  const bool numbered = header.session != kNoSession && header.seq != 0;

  wire::SectionReplyHeader& reply = push.reply.header;
  reply.lsn = record.header.lsn;
  const wire::Outcome outcome =
      numbered && session == nullptr
          ? wire::Outcome::kDropped  // fenced, or gone from its job, meanwhile
          : ApplyGradient(push, membership, record.header.lsn);
  reply.outcome = static_cast<uint32_t>(outcome);
  if (numbered && session == nullptr && header.session <= expired_) {
    NoteRefusal(push.reply, SessionExpired(header.session));
  }
  if (session != nullptr) {
    session->Record(header.seq, {.hash_low = header.payload_hash_low,
                                 .hash_high = header.payload_hash_high,
                                 .outcome = reply.outcome,
                                 .rows_skipped = reply.rows_skipped,
                                 .lsn = reply.lsn});
  }
  if (membership != nullptr && header.end_of_clock()) {
    EndStep(*membership, header, outcome);
  }
  if (task != nullptr) Finish(task);
  if (numbered) Settle(header);
  if (membership != nullptr && header.end_of_clock()) {
    CloseCompleteRounds(*membership->job);
    AnswerParked(*membership->job);  // ssp: the slowest may have moved
  }
  return absl::OkStatus();
}

// The session that the push counts in, made by its first one. Null when there
// is none: the push has no number, or its session was fenced by a newer
// incarnation or left its job between append and apply; such a push is void.
absl::StatusOr<Session*> Shard::SessionOf(const wire::SectionHeader& header) {
  if (header.session == kNoSession || header.seq == 0) return nullptr;
  const Membership* member = FindMembership(header.session);
  if (member != nullptr && member->left) return nullptr;
  auto found = sessions_.find(header.session);
  if (found != sessions_.end() &&
      found->second.epoch() > header.session_epoch) {
    return nullptr;
  }
  if (found == sessions_.end()) {
    if (header.session <= expired_) return nullptr;
    if (sessions_.size() >= kSessionsPerShardMax) ExpireSessions();
  }
  if (found == sessions_.end() ||
      found->second.epoch() < header.session_epoch) {
    found = sessions_
                .insert_or_assign(header.session, Session(header.session_epoch))
                .first;
  }
  if (header.seq != found->second.last() + 1) {
    return absl::DataLossError(
        absl::StrCat("session ", header.session, " is at number ",
                     found->second.last(), ", the record has ", header.seq));
  }
  return &found->second;
}

// The same on every replica, since it depends on nothing but what is applied.
void Shard::ExpireSessions() {
  std::vector<std::pair<Lsn, SessionId>> idle;
  for (const auto& [id, session] : sessions_) {
    const Membership* member = FindMembership(id);
    if (member == nullptr || member->left) idle.push_back({session.used(), id});
  }
  const size_t count = std::min(idle.size(), kSessionsExpiredAtOnce);
  std::partial_sort(idle.begin(), idle.begin() + count, idle.end());
  idle.resize(count);
  for (const auto& [used, id] : idle) {
    expired_ = std::max(expired_, id);
    sessions_.erase(id);
    auto gate = gates_.find(id);
    if (gate == gates_.end()) continue;
    RefuseWaiting(gate->second, SessionExpired(id));
    gates_.erase(gate);
  }
}

wire::Outcome Shard::ApplyGradient(SectionTask& task, Membership* membership,
                                   Lsn lsn) {
  const wire::SectionHeader& header = task.header();
  Admission admission = Admission::kApply;
  if (membership != nullptr && membership->left) {
    admission = Admission::kNotAMember;
  } else if (membership != nullptr) {
    admission =
        membership->job->policy->AdmitPush(membership->worker, header.clock);
  }
  // A push that only ends a step has no rows.
  const bool has_rows = task.section.keys.size > 0 || !task.keys.empty();
  auto table = tables_.find(header.table);
  if (has_rows && table == tables_.end()) return wire::Outcome::kDropped;
  switch (admission) {
    case Admission::kApply:
      if (has_rows) {
        ApplyRows(*table->second, task.keys, task.rows.data(),
                  StampOf(task, membership, lsn),
                  &task.reply.header.rows_skipped);
      }
      return wire::Outcome::kApplied;
    case Admission::kAccumulate:
      if (has_rows) {
        membership->job->rounds.Add(
            header.clock, membership->worker,
            {header.table, header.examples, task.keys, task.rows, task.codec,
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
  stamp.replaying = stamp.lsn <= rows_newest_;
  size_t dirty_before = table.dirty_rows();
  ApplyResult result = table.Apply(keys, grads, stamp);
  dirty_rows_ += table.dirty_rows() - dirty_before;
  *rows_skipped += result.rows_skipped;
  options_.counters->push_rows.Add(keys.size());
  options_.counters->rows_created.Add(result.rows_created);
  options_.counters->rows_skipped.Add(result.rows_skipped);
}

void Shard::EndStep(Membership& membership, const wire::SectionHeader& header,
                    wire::Outcome outcome) {
  Job& job = *membership.job;
  if (outcome == wire::Outcome::kAccumulated) {
    job.rounds.End(header.clock, membership.worker, header.examples);
  }
  job.staleness->Record(job.policy->StalenessOf(header.clock));
  job.policy->EndClock(membership.worker, header.clock);
}

// Answers the retries of a number that is settled now.
void Shard::Settle(const wire::SectionHeader& header) {
  auto gate = gates_.find(header.session);
  if (gate == gates_.end() || gate->second.epoch() != header.session_epoch) {
    return;
  }
  std::vector<SectionTask*> attached = gate->second.Settle(header.seq);
  if (attached.empty()) return;
  auto session = sessions_.find(header.session);
  for (SectionTask* task : attached) {
    if (session != sessions_.end() &&
        session->second.epoch() == header.session_epoch) {
      AnswerDuplicate(task, session->second);
    } else {
      Refuse(task, {absl::FailedPreconditionError(
                        "the session was fenced or its worker left its job"),
                    wire::Reason::kSessionFenced});
    }
  }
}

absl::Status Shard::ApplyRefusal(const Record& record, SectionTask* task) {
  v1::RefusalRecord proto;
  PARAMO_RETURN_IF_ERROR(Parse(record, proto));
  wire::SectionHeader header;
  header.session = proto.session();
  header.session_epoch = proto.session_epoch();
  header.seq = proto.seq();
  PARAMO_ASSIGN_OR_RETURN(Session * session, SessionOf(header));
  if (session != nullptr) {
    session->Record(header.seq, {.hash_low = proto.payload_hash_low(),
                                 .hash_high = proto.payload_hash_high(),
                                 .code = proto.code(),
                                 .reason = proto.reason(),
                                 .lsn = record.header.lsn});
  }
  if (task != nullptr) {
    task->reply.header.lsn = record.header.lsn;
    Finish(task);  // code, reason and words are there since the refusal
  }
  Settle(header);
  return absl::OkStatus();
}

// ---- Tables -----------------------------------------------------------------

absl::Status Shard::ApplyCatalogue(const Record& record) {
  v1::CatalogueRecord proto;
  PARAMO_RETURN_IF_ERROR(Parse(record, proto));
  const TableId id =
      proto.dropped() != 0 ? proto.dropped() : proto.table().id();
  auto table = tables_.find(id);
  if (proto.dropped() != 0) {
    if (table == tables_.end()) return absl::OkStatus();
    dirty_rows_ -= table->second->dirty_rows();
    tables_.erase(table);
  } else {
    PARAMO_ASSIGN_OR_RETURN(auto config, MakeTableConfig(proto.table()));
    if (table == tables_.end()) {
      tables_[id] = std::make_unique<TableShard>(*config, options_.id);
    } else if (config->version > table->second->config().version) {
      absl::Status altered = table->second->SetConfig(*config);
      if (!altered.ok()) {
        LogError("table %s: alter refused: %s", config->name,
                 std::string(altered.message()));
      }
    }
  }
  NoteDurability();
  NoteBudgets();
  return absl::OkStatus();
}

void Shard::NoteDurability() {
  if (tables_.empty()) return;
  control_level_ = Durability::kMemory;
  for (const auto& [id, table] : tables_) {
    control_level_ = std::max(control_level_, table->config().durability);
  }
}

// ---- Jobs -------------------------------------------------------------------

absl::Status Shard::ApplyMembership(const Record& record) {
  v1::MembershipRecord proto;
  PARAMO_RETURN_IF_ERROR(Parse(record, proto));
  PARAMO_ASSIGN_OR_RETURN(const SyncSpec sync, SyncSpecOf(proto.sync()));
  Job& job = JobOf(proto.job(), proto.job_name(), sync);
  job.policy->SetGathering(proto.gathering());
  job.frozen = proto.gathering();
  for (const v1::Member& member : proto.members()) {
    const MemberView view = MemberViewOf(member);
    job.frozen = job.frozen || view.undecided();
    ApplyMember(job, view);
  }
  AnswerParked(job);
  CloseCompleteRounds(job);
  return absl::OkStatus();
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
  sessions_.erase(member.session);
  auto gate = gates_.find(member.session);
  if (gate == gates_.end()) return;
  RefuseWaiting(gate->second,
                {absl::FailedPreconditionError("the worker left its job"),
                 wire::Reason::kNotAMember});
  gates_.erase(gate);
}

// Nobody waits for it any more.
void Shard::LeaveJob(Job& job, const MemberView& member) {
  job.policy->Leave(member.worker);
  options_.counters->contributions_dead.Add(
      job.rounds.DropWorker(member.worker, member.left_clock));
}

absl::Status Shard::ApplyRoundClose(const Record& record) {
  v1::RoundCloseRecord proto;
  PARAMO_RETURN_IF_ERROR(Parse(record, proto));
  auto found = jobs_.find(proto.job());
  if (found == jobs_.end() ||
      found->second->policy->open_round() != proto.round()) {
    return absl::DataLossError(absl::StrCat("round ", proto.round(), " of job ",
                                            proto.job(), " is not open here"));
  }
  Job& job = *found->second;
  job.closing = false;
  // Decided before somebody's coming or going was: it will be decided again.
  if (job.frozen) return absl::OkStatus();
  uint32_t rows_skipped = 0;
  job.rounds.Close(
      proto.round(), [this](TableId id) { return DimOf(id); },
      [&](const MeanGradient& mean) {
        ApplyRows(*tables_.at(mean.table), mean.keys, mean.rows.data(),
                  {.lsn = record.header.lsn, .clock = proto.round()},
                  &rows_skipped);
      });
  job.policy->CloseRound(proto.round());
  job.policy->PassEmptyRounds(job.rounds.first());
  options_.rounds->Note(job.id, job.policy->open_round());
  options_.counters->rounds.Add();
  AnswerParked(job);
  CloseCompleteRounds(job);
  return absl::OkStatus();
}

}  // namespace paramo
