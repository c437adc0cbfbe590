// A shard and the store: handing over dirty rows and non-row state, and taking
// both back after a restart.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

constexpr uint32_t kStateFormat = 1;

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

std::unique_ptr<Session> RestoreSession(const v1::SessionState& proto) {
  auto session =
      std::make_unique<Session>(proto.session_epoch(), proto.last_seq());
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
    session->RestoreAnswer(++seq, answer);
  }
  return session;
}

void SaveContribution(const Contribution& part, uint32_t dim,
                      v1::Contribution& out) {
  out.set_table(part.table);
  out.set_examples(part.examples);
  out.set_keys(reinterpret_cast<const char*>(part.keys.data()),
               part.keys.size() * sizeof(Key));
  std::string& values = *out.mutable_values();
  for (const float* row : part.rows) {
    values.append(reinterpret_cast<const char*>(row), dim * sizeof(float));
  }
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
  part.data = std::move(data);
  return part;
}

}  // namespace

void Shard::Collect(size_t rows_max, std::function<void(ShardFlush)> done) {
  Post([this, rows_max, done = std::move(done)] {
    ShardFlush flush;
    flush.shard = options_.id;
    size_t left = rows_max;
    // Round-robin over tables: start behind the one that came last.
    auto start = tables_.upper_bound(flush_cursor_);
    for (size_t i = 0; i < tables_.size() && left > 0; ++i, ++start) {
      if (flush.arena.size() >= kFlushShardBytesMax) break;
      if (start == tables_.end()) start = tables_.begin();
      TableShard& table = *start->second;
      flush_cursor_ = start->first;
      size_t room = kFlushShardBytesMax - flush.arena.size();
      size_t fit = room / table.layout().record_bytes() + 1;
      left -= table.CollectDirty(
          std::min(left, fit), [&](absl::Span<const uint8_t> record) {
            flush.AddRow(
                start->first,
                absl::string_view(reinterpret_cast<const char*>(record.data()),
                                  record.size()));
          });
    }
    rows_in_flush_ += flush.rows.size();
    dirty_rows_ -= flush.rows.size();
    if (applied_ > flushed_lsn_ || !flush.rows.empty())
      flush.state = SaveState();
    UpdateDirty();
    done(std::move(flush));
  });
}

void Shard::Flushed(const ShardFlush& flush, const absl::Status& status) {
  // What the strand needs of the flush: keys by table, and the state's lsn.
  std::map<TableId, std::vector<Key>> keys;
  if (!status.ok()) {
    for (const RowRecord& row : flush.rows) keys[row.table].push_back(row.key);
  }
  v1::ShardState state;
  Lsn lsn = 0;
  if (status.ok() && state.ParseFromString(flush.state)) lsn = state.lsn();
  Post([this, keys = std::move(keys), lsn, rows = flush.rows.size()] {
    rows_in_flush_ -= rows;
    flushed_lsn_ = std::max(flushed_lsn_, lsn);
    for (const auto& [id, failed] : keys) {
      auto table = tables_.find(id);
      if (table == tables_.end()) continue;
      size_t before = table->second->dirty_rows();
      table->second->MarkDirty(failed);
      dirty_rows_ += table->second->dirty_rows() - before;
    }
    UpdateDirty();
  });
}

std::string Shard::SaveState() const {
  v1::ShardState proto;
  proto.set_format(kStateFormat);
  proto.set_shard(options_.id);
  proto.set_epoch(config_.epoch);
  proto.set_history(config_.history);
  proto.set_lsn(applied_);
  for (const auto& [id, session] : sessions_) {
    *proto.add_sessions() = SaveSession(id, *session);
  }
  for (const auto& [id, job] : jobs_) SaveJob(*job, *proto.add_jobs());
  return proto.SerializeAsString();
}

void Shard::SaveJob(const Job& job, v1::JobSyncState& proto) const {
  proto.set_job(job.id);
  v1::Sync& sync = *proto.mutable_sync();
  sync.set_kind(static_cast<v1::Sync::Kind>(job.sync.kind));
  sync.set_staleness(job.sync.staleness);
  sync.set_backup_workers(job.sync.backup_workers);
  sync.set_quorum(job.sync.quorum);
  sync.set_deadline_ms(job.sync.deadline_ms);
  proto.set_open_round(job.policy->open_round());
  for (const auto& [session, member] : job.members) {
    // Who is about to join has nothing here; the next view names it again.
    if (!member.left && member.undecided()) continue;
    v1::MemberState& out = *proto.add_members();
    out.set_worker(member.worker);
    out.set_session(session);
    out.set_session_epoch(member.session_epoch);
    out.set_left(member.gone());
    if (member.gone()) continue;
    auto live = job.policy->members().find(member.worker);
    if (live == job.policy->members().end()) continue;
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

void Shard::RestoreJob(const v1::JobSyncState& proto) {
  auto job = std::make_unique<Job>();
  job->id = proto.job();
  job->sync = SyncSpecOf(proto.sync());
  job->policy = MakeSyncPolicy(job->sync);
  std::map<WorkerId, SyncPolicy::Member> live;
  for (const v1::MemberState& saved : proto.members()) {
    MemberView& member = job->members[saved.session()];
    member.worker = saved.worker();
    member.session = saved.session();
    member.session_epoch = saved.session_epoch();
    member.first_clock = saved.first();
    member.left = saved.left();
    memberships_[saved.session()] = {job.get(), saved.worker(), saved.left()};
    if (!saved.left()) live[saved.worker()] = {saved.first(), saved.next()};
  }
  job->policy->Restore(live, proto.open_round());
  if (proto.open_round() > 0) {
    options_.rounds->Note(job->id, proto.open_round());
  }
  for (const v1::Contribution& saved : proto.contributions()) {
    if (saved.ended()) {
      job->rounds.End(saved.clock(), saved.worker(), saved.examples());
      continue;
    }
    auto part = RestoreContribution(saved);
    if (part.ok()) {
      job->rounds.Add(saved.clock(), saved.worker(), *std::move(part));
    }
  }
  jobs_[proto.job()] = std::move(job);
}

absl::Status Shard::Restore(const v1::ShardState* state,
                            std::vector<std::unique_ptr<TableShard>> tables) {
  PARAMO_CHECK(tables_.empty() && applied_ == 0);
  for (auto& table : tables) {
    TableId id = table->config().id;
    tables_[id] = std::move(table);
  }
  if (state == nullptr) return absl::OkStatus();
  if (state->format() != kStateFormat || state->shard() != options_.id) {
    return absl::DataLossError(absl::StrCat(
        "state of shard ", options_.id, " has format ", state->format(),
        " and says it is of shard ", state->shard()));
  }
  config_.epoch = state->epoch();
  config_.history = state->history();
  appended_ = committed_ = applied_ = flushed_lsn_ = state->lsn();
  for (const v1::SessionState& session : state->sessions()) {
    sessions_[session.session()] = RestoreSession(session);
  }
  for (const v1::JobSyncState& job : state->jobs()) RestoreJob(job);
  UpdateDirty();
  return absl::OkStatus();
}

}  // namespace paramo
