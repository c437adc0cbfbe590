// The non-row state of a shard: what it knows of tables, sessions and jobs as
// of one lsn, saved and taken back. docs/formats/shard_state.md.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

constexpr uint32_t kStateFormat = 2;

v1::SessionState SaveSession(SessionId id, const Session& session) {
  v1::SessionState proto;
  proto.set_session(id);
  proto.set_session_epoch(session.epoch());
  proto.set_last_seq(session.last());
  SeqNo first =
      session.last() < kSessionWindow ? 1 : session.last() - kSessionWindow + 1;
  for (SeqNo seq = first; seq <= session.last(); ++seq) {
    const Session::Answer& answer = session.AnswerOf(seq);
    v1::SessionState::Answer& out = *proto.add_answers();
    out.set_payload_hash_low(answer.hash_low);
    out.set_payload_hash_high(answer.hash_high);
    out.set_code(answer.code);
    out.set_outcome(answer.outcome);
    out.set_reason(answer.reason);
    out.set_lsn(answer.lsn);
    out.set_rows_skipped(answer.rows_skipped);
  }
  return proto;
}

Session RestoreSession(const v1::SessionState& proto) {
  Session session(proto.session_epoch(), proto.last_seq());
  SeqNo seq = proto.last_seq() - proto.answers_size();
  for (const v1::SessionState::Answer& saved : proto.answers()) {
    Session::Answer answer;
    answer.hash_low = saved.payload_hash_low();
    answer.hash_high = saved.payload_hash_high();
    answer.code = saved.code();
    answer.outcome = saved.outcome();
    answer.reason = saved.reason();
    answer.lsn = saved.lsn();
    answer.rows_skipped = saved.rows_skipped();
    session.RestoreAnswer(++seq, answer);
  }
  return session;
}

// Whether the policy counts the incarnation: until its going is decided.
bool TakesPart(const MemberView& member) {
  return member.live() || (member.left && member.undecided());
}

void SaveContribution(const Contribution& part, uint32_t dim,
                      v1::Contribution& out) {
  out.set_table(part.table);
  out.set_examples(part.examples);
  out.set_keys(reinterpret_cast<const char*>(part.keys.data()),
               part.keys.size() * sizeof(Key));
  std::string& values = *out.mutable_values();
  for (const float* row : part.rows) {
    values.append(reinterpret_cast<const char*>(row),
                  part.codec->row_bytes(dim));
  }
  out.set_codec(part.codec->id);
}

// `dim` follows from the sizes: the table itself may have been dropped.
absl::StatusOr<Contribution> RestoreContribution(const v1::Contribution& in) {
  size_t n = in.keys().size() / sizeof(Key);
  if (n == 0 || in.values().size() % n != 0) {
    return absl::DataLossError("saved contribution has impossible sizes");
  }
  auto data = std::make_shared<RequestData>();
  data->keys.resize(n);
  data->rope = Rope::FromString(in.keys() + in.values());
  data->rope.Copy(0, in.keys().size(), data->keys.data());
  const uint8_t* values = data->rope.pieces()[0].data + in.keys().size();
  size_t row_bytes = in.values().size() / n;
  for (size_t i = 0; i < n; ++i) {
    data->rows.push_back(
        reinterpret_cast<const float*>(values + i * row_bytes));
  }
  Contribution part;
  part.table = in.table();
  part.examples = in.examples();
  part.keys = data->keys;
  part.rows = data->rows;
  PARAMO_ASSIGN_OR_RETURN(part.codec, FindCodec(in.codec()));
  part.data = std::move(data);
  return part;
}

}  // namespace

std::string Shard::SaveState() const {
  v1::ShardState proto;
  proto.set_format(kStateFormat);
  proto.set_shard(options_.id);
  proto.set_epoch(config().epoch);
  proto.set_history(applied_header_.history);
  proto.set_lsn(applied_);
  proto.set_crc(applied_header_.crc32c);
  proto.set_record_epoch(applied_header_.epoch);
  proto.set_expired_sessions(expired_);
  for (const auto& [id, session] : sessions_) {
    *proto.add_sessions() = SaveSession(id, session);
  }
  for (const auto& [id, job] : jobs_) SaveJob(*job, *proto.add_jobs());
  for (const auto& [id, table] : tables_) {
    PARAMO_CHECK(proto.add_tables()->ParseFromString(table->config().encoded));
  }
  return proto.SerializeAsString();
}

void Shard::SaveJob(const Job& job, v1::JobSyncState& proto) const {
  proto.set_job(job.id);
  proto.set_name(job.name);
  ToProto(job.sync, *proto.mutable_sync());
  proto.set_open_round(job.policy->open_round());
  proto.set_finished(job.policy->finished());
  proto.set_gathering(job.policy->gathering());
  for (const auto& [session, member] : job.members) {
    v1::MemberState& out = *proto.add_members();
    out.set_worker(member.worker);
    out.set_session(session);
    out.set_session_epoch(member.session_epoch);
    out.set_left(member.left);
    out.set_left_clock(member.left_clock);
    out.set_first_clock(member.first_clock);
    auto live = job.policy->members().find(member.worker);
    if (!TakesPart(member) || live == job.policy->members().end()) continue;
    out.set_first(live->second.first);
    out.set_next(live->second.next);
  }
  for (const auto& [clock, steps] : job.rounds.rounds()) {
    for (const auto& [worker, step] : steps) {
      for (const Contribution& part : step.parts) {
        const TableShard* table = this->table(part.table);
        if (table == nullptr) continue;
        v1::Contribution& out = *proto.add_contributions();
        SaveContribution(part, table->config().dim, out);
        out.set_clock(clock);
        out.set_worker(worker);
      }
      if (step.ended) {
        v1::Contribution& end = *proto.add_contributions();
        end.set_clock(clock);
        end.set_worker(worker);
        end.set_examples(step.examples);
        end.set_ended(true);
      }
    }
  }
}

// Rows, and how far sessions and rounds have come. Not whole while rows may be
// newer than the record applied (rule 4.5).
std::optional<uint64_t> Shard::Checksum() {
  if (applied_ < rows_newest_) return std::nullopt;
  uint64_t sum = Mix64(expired_);
  for (const auto& [id, table] : tables_) {
    sum += Mix64(id) + table->rolling_checksum();
  }
  for (const auto& [id, session] : sessions_) {
    sum += Mix64(Mix64(id) + session.epoch()) ^ Mix64(session.last());
  }
  for (const auto& [id, job] : jobs_) {
    sum += Mix64(Mix64(id) ^ job->policy->open_round());
    for (const auto& [worker, member] : job->policy->members()) {
      sum += Mix64(Mix64(worker) ^ member.next);
    }
  }
  return sum;
}

absl::Status Shard::Restore(Stored stored) {
  PARAMO_CHECK(tables_.empty() && applied_ == 0);
  RestoredReplica replica;
  replica.promise = stored.promise;
  if (stored.state != nullptr) {
    PARAMO_RETURN_IF_ERROR(RestoreState(*stored.state));
    replica.history = stored.state->history();
    replica.applied = {applied_, applied_header_.crc32c, applied_header_.epoch};
  }
  for (auto& table : stored.tables) {
    rows_newest_ = std::max(rows_newest_, table->newest_lsn());
    const TableId id = table->config().id;
    tables_[id] = std::move(table);
  }
  NoteDurability();
  NoteBudgets();
  Lsn lsn = applied_;
  uint32_t crc = applied_header_.crc32c;
  for (Record& record : stored.log) {
    if (record.lsn() <= applied_) continue;
    if (record.lsn() != lsn + 1 || record.header.previous_crc != crc) {
      if (stored.log_damaged) break;
      return absl::DataLossError(absl::StrCat(
          "record ", record.lsn(), " of the log does not continue record ", lsn,
          ": some of the log is missing"));
    }
    lsn = record.lsn();
    crc = record.header.crc32c;
    replica.history = record.header.history;
    replica.tail.push_back(std::move(record));
  }
  replica.log_damaged = stored.log_damaged;
  rows_lost_ = stored.rows_lost;
  if (replica.history != 0 || replica.promise.epoch != 0) {
    replica_->Restore(std::move(replica));
  }
  UpdateDirty();
  return absl::OkStatus();
}

absl::Status Shard::RestoreState(const v1::ShardState& state) {
  if (state.format() != kStateFormat || state.shard() != options_.id) {
    return absl::DataLossError(
        absl::StrCat("state of shard ", options_.id, " has format ",
                     state.format(), " (this build reads ", kStateFormat,
                     ") and says it is of shard ", state.shard()));
  }
  applied_ = flushed_lsn_ = state.lsn();
  log_bytes_ = 0;
  applied_header_.lsn = state.lsn();
  applied_header_.crc32c = state.crc();
  applied_header_.epoch = state.record_epoch();
  applied_header_.history = state.history();
  expired_ = state.expired_sessions();
  for (const v1::SessionState& session : state.sessions()) {
    sessions_.emplace(session.session(), RestoreSession(session));
  }
  for (const v1::JobSyncState& job : state.jobs()) {
    PARAMO_RETURN_IF_ERROR(RestoreJob(job));
  }
  return absl::OkStatus();
}

absl::Status Shard::RestoreJob(const v1::JobSyncState& proto) {
  PARAMO_ASSIGN_OR_RETURN(const SyncSpec sync, SyncSpecOf(proto.sync()));
  Job& job = JobOf(proto.job(), proto.name(), sync);
  job.policy->SetGathering(proto.gathering());
  job.frozen = proto.gathering();
  std::map<WorkerId, SyncPolicy::Member> live;
  for (const v1::MemberState& saved : proto.members()) {
    MemberView& member = job.members[saved.session()];
    member.worker = saved.worker();
    member.session = saved.session();
    member.session_epoch = saved.session_epoch();
    member.first_clock = saved.first_clock();
    member.left = saved.left();
    member.left_clock = saved.left_clock();
    job.frozen = job.frozen || member.undecided();
    memberships_[saved.session()] = {&job, saved.worker(), saved.left()};
    if (TakesPart(member)) live[saved.worker()] = {saved.first(), saved.next()};
  }
  job.policy->Restore(live, proto.open_round(), proto.finished());
  if (proto.open_round() > 0) options_.rounds->Note(job.id, proto.open_round());
  for (const v1::Contribution& saved : proto.contributions()) {
    if (saved.ended()) {
      job.rounds.End(saved.clock(), saved.worker(), saved.examples());
      continue;
    }
    PARAMO_ASSIGN_OR_RETURN(Contribution part, RestoreContribution(saved));
    job.rounds.Add(saved.clock(), saved.worker(), std::move(part));
  }
  return absl::OkStatus();
}

Shard::Job& Shard::JobOf(uint32_t id, const std::string& name,
                         const SyncSpec& sync) {
  std::unique_ptr<Job>& job = jobs_[id];
  if (job == nullptr) {
    job = std::make_unique<Job>();
    job->id = id;
    job->name = name;
    job->sync = sync;
    job->policy = MakeSyncPolicy(sync);
    job->staleness = &options_.counters->StalenessOf(name);
  }
  return *job;
}

}  // namespace paramo
