#include "tests/sim/hosted_shard.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/sim/server.h"
#include "tests/sim/world.h"

namespace paramo::sim {
namespace {

// Payload of the toy's records.
struct Payload {
  uint64_t session;
  uint64_t seq;
  uint64_t id;
};

Payload PayloadOf(const Record& record) {
  Payload payload = {};
  if (record.payload.size() >= sizeof(payload)) {
    record.payload.Copy(0, sizeof(payload), &payload);
  }
  return payload;
}

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2);
  return hash * 0xff51afd7ed558ccd;
}

}  // namespace

HostedShard::HostedShard(Server& server, ShardId shard,
                         std::optional<RestoredReplica> restored)
    : server_(server), shard_(shard) {
  Replica::Options options;
  options.shard = shard;
  options.self = server.id();
  options.bugs = server.world().options().bugs.replica;
  replica_ = std::make_unique<Replica>(options, *this, *this);
  if (!restored) return;
  auto stored = server.disk().store.find(shard);
  if (stored != server.disk().store.end()) {
    state_ = stored->second.state;
    damaged_ = stored->second.damaged;
    applied_history_ = stored->second.history;
  }
  log_cut_ = restored->applied.lsn;
  for (const Record& record : restored->tail) {
    const uint32_t crc = record.header.crc32c;
    appended_records_[record.lsn()] = {crc, Durability::kSynced};
    on_disk_[record.lsn()] = {crc, /*synced=*/true};
    log_[record.lsn()] = record;
  }
  replica_->Restore(std::move(*restored));
}

void HostedShard::Push(const PushRequest& request, PushDone done) {
  if (replica_->serving() != Serving::kAll) {
    done(Hint());
    return;
  }
  if (state_.ended < replica_->config().ended_sessions) {
    done(Hint());  // the record that ends them is under way
    return;
  }
  if (request.session <= state_.ended) {
    PushReply reply = Hint();
    reply.outcome = PushReply::Outcome::kExpired;
    done(reply);
    return;
  }
  if (AnswerOld(request, done)) return;
  const uint64_t last = LastAppended(request.session);
  if (request.seq != last + 1 || !replica_->HasRoom(200)) {
    done(Hint());
    return;
  }
  World& world = server_.world();
  waiting_.insert({{request.session, request.seq}, {request.id, done}});
  appended_[request.session] = request.seq;
  const Payload payload = {request.session, request.seq, request.id};
  std::string bytes(reinterpret_cast<const char*>(&payload), sizeof(payload));
  bytes.append(world.loop().Between(0, 100), 'x');
  replica_->Append(request.skip ? RecordKind::kSkip : RecordKind::kPush,
                   Rope::FromString(std::move(bytes)), world.level(),
                   world.loop().time());
}

// A number that is appended already: its answer, now or when it is applied.
bool HostedShard::AnswerOld(const PushRequest& request, const PushDone& done) {
  const Bugs& bugs = server_.world().options().bugs;
  const auto session = state_.sessions.find(request.session);
  const uint64_t applied =
      session == state_.sessions.end() ? 0 : session->second.last;
  if (request.seq <= applied) {
    waiting_.insert({{request.session, request.seq}, {request.id, done}});
    Answer({request.session, request.seq},
           session->second.skipped.count(request.seq) != 0);
    return true;
  }
  if (bugs.dedup_by_applied) {
    appended_[request.session] = request.seq - 1;
    return false;
  }
  if (request.seq > LastAppended(request.session)) return false;
  waiting_.insert({{request.session, request.seq}, {request.id, done}});
  return true;
}

uint64_t HostedShard::LastAppended(uint64_t session) const {
  auto it = appended_.find(session);
  return it == appended_.end() ? 0 : it->second;
}

void HostedShard::Answer(const Number& number, bool skipped) {
  const auto [begin, end] = waiting_.equal_range(number);
  std::vector<Waiting> answered;
  for (auto it = begin; it != end; ++it) answered.push_back(it->second);
  waiting_.erase(begin, end);
  if (replica_->serving() == Serving::kNothing) return;
  PushReply reply = Hint();
  reply.outcome =
      skipped ? PushReply::Outcome::kSkipped : PushReply::Outcome::kApplied;
  for (const Waiting& waiting : answered) {
    if (!skipped) {
      server_.world().OnAck(server_, shard_, *replica_, waiting.id);
    }
    waiting.done(reply);
  }
}

PushReply HostedShard::Hint() const {
  PushReply reply;
  reply.primary_hint = replica_->config().primary;
  reply.hint_epoch = replica_->config().epoch;
  reply.history = replica_->config().history;
  return reply;
}

void HostedShard::Apply(const Record& record) {
  const auto kind = static_cast<RecordKind>(record.header.kind);
  const Payload payload = PayloadOf(record);
  const bool numbered = kind == RecordKind::kPush || kind == RecordKind::kSkip;
  state_.hash = Mix(state_.hash, record.header.crc32c);
  applied_history_ = record.header.history;
  if (kind == RecordKind::kSession) {
    state_.ended = std::max(state_.ended, payload.session);
    state_.sessions.erase(state_.sessions.begin(),
                          state_.sessions.upper_bound(state_.ended));
  }
  if (numbered && !server_.world().options().bugs.sessions_lost) {
    ToyState::Session& session = state_.sessions[payload.session];
    if (payload.seq != session.last + 1) {
      server_.world().checker().Violation("a session's number is missing");
    }
    session.last = payload.seq;
    if (kind == RecordKind::kSkip) session.skipped.insert(payload.seq);
  }
  server_.world().OnApply(server_, shard_, record,
                          kind == RecordKind::kPush ? payload.id : 0,
                          damaged_ ? 0 : state_.hash);
  if (numbered) {
    Answer({payload.session, payload.seq}, kind == RecordKind::kSkip);
  }
}

void HostedShard::OnServing(Serving serving) {
  if (serving == Serving::kNothing) {
    waiting_.clear();  // their clients ask again
    return;
  }
  server_.world().OnPrimary(server_, shard_, *this);
  if (!waiting_.empty()) return;
  appended_.clear();
  for (const auto& [id, session] : state_.sessions) {
    appended_[id] = session.last;
  }
  const uint64_t ended = replica_->config().ended_sessions;
  if (state_.ended >= ended) return;
  const Payload payload = {ended, 0, 0};
  replica_->Append(
      RecordKind::kSession,
      Rope::FromString(std::string(reinterpret_cast<const char*>(&payload),
                                   sizeof(payload))),
      server_.world().level(), server_.world().loop().time());
}

void HostedShard::OnTruncated(Lsn lsn) {
  auto it = appended_records_.upper_bound(lsn);
  for (auto cut = it; cut != appended_records_.end(); ++cut) {
    server_.world().checker().OnTruncated({shard_, replica_->config().history},
                                          server_.node(), cut->first,
                                          cut->second.crc);
  }
  appended_records_.erase(it, appended_records_.end());
  checked_ = std::min(checked_, lsn);
  auto& acknowledged = server_.acknowledged(shard_);
  acknowledged.erase(acknowledged.upper_bound(lsn), acknowledged.end());
  log_.erase(log_.upper_bound(lsn), log_.end());
}

void HostedShard::OnStopped(const absl::Status& status) {
  server_.disk().stopped.insert(shard_);
  server_.world().OnStopped(server_, shard_, damaged_, ToString(status));
}

void HostedShard::OnOtherHistory() {
  waiting_.clear();
  if (is_void_) return;
  is_void_ = true;
  server_.BeginAnew(shard_);
}

void HostedShard::WriteLog(const Record& record, Durability level) {
  if (IsMark(record.header)) {
    if (static_cast<RecordKind>(record.header.kind) == RecordKind::kRestart) {
      appended_records_.clear();
      server_.acknowledged(shard_).clear();
      log_.clear();
      log_cut_ = record.lsn();
    }
  } else {
    appended_records_[record.lsn()] = {record.header.crc32c, level};
  }
  server_.WriteLog(record, level);
  if (!IsMark(record.header)) log_[record.lsn()] = record;
}

void HostedShard::SavePromise(const Promise& promise) {
  server_.SavePromise(shard_, promise);
}

void HostedShard::OnWritten(const RecordHeader& header) {
  if (!IsMark(header)) {
    on_disk_[header.lsn] = {header.crc32c, /*synced=*/false};
  } else if (static_cast<RecordKind>(header.kind) == RecordKind::kRestart) {
    on_disk_.clear();
  } else {
    on_disk_.erase(on_disk_.upper_bound(header.lsn), on_disk_.end());
  }
}

void HostedShard::OnSynced() {
  for (auto& [lsn, record] : on_disk_) record.synced = true;
}

// What is acknowledged up to `lsn` is held at its durability.
void HostedShard::CheckHeld(Lsn lsn) {
  for (auto it = appended_records_.upper_bound(checked_);
       it != appended_records_.end() && it->first <= lsn; ++it) {
    const auto disk = on_disk_.find(it->first);
    const bool written =
        disk != on_disk_.end() && disk->second.crc == it->second.crc;
    const Durability level = it->second.level;
    server_.acknowledged(shard_)[it->first] = it->second.crc;
    if (level == Durability::kMemory || (written && disk->second.synced) ||
        (written && level == Durability::kWritten)) {
      continue;
    }
    server_.world().checker().Violation(absl::StrCat(
        "shard ", shard_, ": server ", server_.node(), " acknowledges record ",
        it->first, ", which its disk does not have"));
  }
  checked_ = std::max(checked_, lsn);
}

void HostedShard::Send(const ReplicaId& to, PeerMessage message) {
  if (message.kind == PeerMessage::Kind::kAck) CheckHeld(message.position);
  server_.SendToPeer(to, std::move(message));
}

void HostedShard::Report(const ReplicaReport& report) {
  server_.SendReport(report);
}

void HostedShard::ReadLog(const ReplicaId& peer, Lsn from, size_t bytes_max) {
  World& world = server_.world();
  ++world.result().progress["log reads"];
  std::optional<std::vector<Record>> records;
  if (from > log_cut_) {
    records.emplace();
    size_t bytes = 0;
    for (auto it = log_.find(from); it != log_.end() && bytes < bytes_max;
         ++it) {
      records->push_back(it->second);
      bytes += it->second.bytes();
    }
  }
  server_.After(world.loop().Between(50, 2000),
                [this, peer, records = std::move(records)]() mutable {
                  const absl::Duration now = server_.world().loop().time();
                  if (records) {
                    replica_->OnLogRead(peer, std::move(*records), now);
                  } else {
                    replica_->OnLogCut(peer, now);
                  }
                });
}

void HostedShard::SendCheckpoint(const ReplicaId& learner) {
  ++server_.world().result().progress["checkpoints"];
  server_.SendCheckpoint(learner, shard_, state_, replica_->applied_position(),
                         applied_history_, damaged_);
}

void HostedShard::InstallCheckpoint(const ToyState& state,
                                    const LogPosition& at, HistoryId history,
                                    bool damaged) {
  if (replica_->role() != Role::kLearner) return;
  if (history != replica_->config().history) return;
  if (at.lsn <= replica_->committed()) return;
  state_ = state;
  damaged_ = damaged;
  applied_history_ = history;
  server_.disk().store[shard_] = {state, at, history, damaged};
  server_.world().checker().OnHolds({shard_, history}, server_.node());
  replica_->OnCheckpointInstalled(at, server_.world().loop().time());
}

void HostedShard::Flush() {
  const Lsn applied = replica_->applied();
  if (applied == 0 || replica_->role() == Role::kStopped || is_void_) return;
  const LogPosition at = replica_->applied_position();
  auto stored = server_.disk().store.find(shard_);
  if (stored != server_.disk().store.end() && stored->second.at.lsn > applied) {
    return;  // a checkpoint is being installed
  }
  server_.disk().store[shard_] = {state_, at, applied_history_, damaged_};
  // Cut what is stored, most of the time also from under slow learners.
  Lsn cut = applied;
  if (!server_.world().loop().Chance(0.5)) {
    cut = std::min(cut, replica_->oldest_needed() - 1);
  }
  log_cut_ = std::max(log_cut_, cut);
  log_.erase(log_.begin(), log_.upper_bound(log_cut_));
}

void HostedShard::Damage() {
  damaged_ = true;
  state_.hash ^= 1;
}

}  // namespace paramo::sim
