#include "tests/sim/server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/world.h"

namespace paramo::sim {

ShardConfig ConfigOf(const ReplicaSet& set, uint32_t min_insync) {
  ShardConfig config;
  config.epoch = set.epoch;
  config.term = set.term;
  config.history = set.history;
  config.base = {set.base.server, set.base.incarnation};
  config.ended_sessions = set.ended_sessions;
  config.primary = set.primary;
  config.fencing = set.fencing;
  config.min_insync = min_insync;
  for (const ServerLife& life : set.in_sync) {
    config.in_sync.push_back({life.server, life.incarnation});
  }
  for (const ServerLife& life : set.learners) {
    config.learners.push_back({life.server, life.incarnation});
  }
  return config;
}

HostedShard* Server::shard(ShardId shard) {
  auto it = shards_.find(shard);
  return it == shards_.end() ? nullptr : it->second.get();
}

void Server::Start() {
  ++life_;
  alive_ = true;
  paused_until_ = 0;
  if (disk_.incarnation == 0 || !ProvesItsPast()) {
    disk_.incarnation = ++incarnations_;
    acknowledged_.clear();
    if (incarnations_ > 1) ++world_.result().progress["lives lost"];
  } else {
    ++world_.result().progress["lives proven"];
  }
  world_.Trace(
      absl::StrCat("server ", node_, " starts as #", disk_.incarnation));
  disk_.clean = false;
  disk_.log_intact = true;
  std::map<ShardId, RestoredReplica> restored = disk_.Recover();
  CheckRestored(restored);
  for (auto& [id, replica] : restored) {
    shards_[id] = std::make_unique<HostedShard>(*this, id, std::move(replica));
  }
  Tick();
  Heartbeat();
  FlushSome();
}

// Rule 3.4. The world's records are all of one durability.
bool Server::ProvesItsPast() const {
  if (world_.options().bugs.restart_unproven) return true;
  if (!disk_.stopped.empty() || disk_.spoiled()) return false;
  if (disk_.clean) return true;
  switch (world_.level()) {
    case Durability::kMemory:
      return false;
    case Durability::kWritten:
      return disk_.log_intact;
    case Durability::kSynced:
      return true;
  }
  return false;
}

// An incarnation that goes on has all that it acknowledged.
void Server::CheckRestored(const std::map<ShardId, RestoredReplica>& restored) {
  for (const auto& [id, records] : acknowledged_) {
    const auto replica = restored.find(id);
    const Lsn applied =
        replica == restored.end() ? 0 : replica->second.applied.lsn;
    for (auto it = records.upper_bound(applied); it != records.end(); ++it) {
      const auto& tail = replica->second.tail;
      const size_t at = it->first - applied - 1;
      if (replica != restored.end() && at < tail.size() &&
          tail[at].header.crc32c == it->second) {
        continue;
      }
      world_.checker().Violation(
          absl::StrCat("shard ", id, ": server ", node_, " restarts without ",
                       "record ", it->first, ", which it acknowledged"));
      return;
    }
  }
}

void Server::Kill() {
  if (!alive_) return;
  alive_ = false;
  ++life_;
  if (writing_ && !batch_.empty()) {
    // Of the write under way, any prefix of its bytes.
    std::string bytes;
    for (const Write& write : batch_) bytes += write.bytes;
    bytes.resize(world_.loop().Between(0, bytes.size()));
    disk_.Write(bytes);
  }
  batch_.clear();
  appended_.clear();
  writing_ = false;
  unsynced_.clear();
  state_version_ = 0;
  // A shard may be what called us.
  for (auto& [id, shard] : shards_) graveyard_.push_back(std::move(shard));
  shards_.clear();
}

bool Server::AnswersProbes() const {
  const Micros now = world_.loop().now();
  return alive_ && now >= paused_until_ && now >= unreachable_until_;
}

void Server::LosePower() {
  Kill();
  disk_.LosePower(world_.loop());
}

void Server::StopCleanly() {
  if (!alive_) return;
  std::string bytes;
  for (const Write& write : batch_) bytes += write.bytes;
  for (const Write& write : appended_) bytes += write.bytes;
  batch_.clear();
  disk_.Write(bytes);
  disk_.Sync();
  disk_.clean = true;
  Kill();
}

std::function<void()> Server::Inside(std::function<void()> run) {
  return [this, life = life_, run = std::move(run)] {
    if (life != life_) return;
    if (world_.loop().now() < paused_until_) {
      world_.loop().At(paused_until_, Inside(run));
      return;
    }
    run();
  };
}

void Server::After(Micros delay, std::function<void()> run) {
  world_.loop().After(delay, Inside(std::move(run)));
}

void Server::Tick() {
  graveyard_.clear();
  for (auto& [id, shard] : shards_) {
    shard->replica().Tick(world_.loop().time());
  }
  After(7 * kMilli, [this] { Tick(); });
}

void Server::Heartbeat() {
  world_.SendToCoordinator(
      *this,
      [this, life = ServerLife{node_, disk_.incarnation},
       version = state_version_] { world_.coordinator_heard(life, version); });
  After(50 * kMilli, [this] { Heartbeat(); });
}

void Server::FlushSome() {
  for (auto& [id, shard] : shards_) {
    if (world_.loop().Chance(0.5)) shard->Flush();
  }
  After(world_.loop().Between(100, 600) * kMilli, [this] { FlushSome(); });
}

void Server::OnState(uint64_t version, const std::vector<ReplicaSet>& sets) {
  if (version <= state_version_) return;
  state_version_ = version;
  state_ = sets;
  for (ShardId id = 0; id < sets.size(); ++id) {
    if (sets[id].epoch != 0) Configure(id);
  }
}

void Server::Configure(ShardId id) {
  const ReplicaSet& set = state_[id];
  const ServerLife self = {node_, disk_.incarnation};
  const auto names = [&](const std::vector<ServerLife>& lives) {
    return std::find(lives.begin(), lives.end(), self) != lives.end();
  };
  auto& shard = shards_[id];
  if (!shard) {
    if (!names(set.in_sync) && !names(set.learners)) {
      shards_.erase(id);
      return;
    }
    shard = std::make_unique<HostedShard>(*this, id, std::nullopt);
  }
  if (shard->is_void()) return;  // BeginAnew comes back
  shard->replica().Configure(ConfigOf(set, world_.min_insync()),
                             world_.loop().time());
}

// The log forgets first: a crash in between leaves a state that is wiped again.
void Server::BeginAnew(ShardId id) {
  After(world_.loop().Between(1, 20) * kMilli, [this, id] {
    if (writing_ || !appended_.empty()) return BeginAnew(id);
    ++world_.result().progress["replicas made anew"];
    const MarkRecord mark =
        MakeMark(RecordKind::kRestart, id, /*epoch=*/0, /*history=*/0,
                 /*lsn=*/0, /*crc=*/0);
    disk_.Write(std::string(reinterpret_cast<const char*>(&mark.header),
                            sizeof(mark.header)) +
                std::string(reinterpret_cast<const char*>(mark.payload),
                            sizeof(mark.payload)));
    disk_.Sync();
    acknowledged_[id].clear();
    if (world_.loop().Chance(0.1)) {
      ++world_.result().faults["killed while it wiped"];
      Kill();
      world_.loop().After(100 * kMilli, [this] {
        if (!alive_) Start();
      });
      return;
    }
    disk_.store.erase(id);
    world_.checker().OnHolds({id, 0}, node_);
    RestoredReplica promised;
    promised.promise = shards_[id]->replica().promise();
    graveyard_.push_back(std::move(shards_[id]));
    shards_[id] = std::make_unique<HostedShard>(*this, id, std::move(promised));
    Configure(id);
  });
}

void Server::OnPush(const PushRequest& request, const PushDone& done) {
  HostedShard* host = shard(request.shard);
  if (host) {
    host->Push(request, done);
  } else {
    done({});
  }
}

void Server::WriteLog(const Record& record, Durability level) {
  appended_.push_back({record.header, level, Disk::Bytes(record)});
  if (!writing_) {
    writing_ = true;
    After(0, [this] { StartBatch(); });
  }
}

Micros Server::DiskDelay(Micros low, Micros high) {
  if (!slow_disk_ && !(world_.slow_disks() && world_.loop().Chance(0.3))) {
    return world_.loop().Between(low, high);
  }
  ++world_.result().faults["slow write"];
  return world_.loop().Between(1, 150) * kMilli;
}

void Server::StartBatch() {
  batch_ = std::exchange(appended_, {});
  After(DiskDelay(20, 300), [this] { FinishBatch(); });
}

void Server::FinishBatch() {
  std::map<ShardId, Lsn> progress;
  bool sync = false;
  for (const Write& write : batch_) {
    disk_.Write(write.bytes);
    progress[write.header.shard] = write.header.lsn;
    unsynced_[write.header.shard] = write.header.lsn;
    if (HostedShard* host = shard(write.header.shard)) {
      host->OnWritten(write.header);
    }
    sync |= write.level == Durability::kSynced;
  }
  batch_.clear();
  Logged(progress, Durability::kWritten);
  const auto next = [this] {
    if (appended_.empty()) {
      writing_ = false;
    } else {
      StartBatch();
    }
  };
  if (!sync) {
    next();
    return;
  }
  After(DiskDelay(100, 800), [this, next] {
    disk_.Sync();
    for (auto& [id, host] : shards_) host->OnSynced();
    Logged(std::exchange(unsynced_, {}), Durability::kSynced);
    next();
  });
}

void Server::Logged(const std::map<ShardId, Lsn>& progress, Durability level) {
  for (const auto& [id, lsn] : progress) {
    if (HostedShard* host = shard(id)) {
      host->replica().OnLogged(lsn, level, world_.loop().time());
    }
  }
}

void Server::SavePromise(ShardId id, const Promise& promise) {
  After(DiskDelay(100, 800), [this, id, promise] {
    Promise& saved = disk_.promises[id];
    if (promise.epoch > saved.epoch) saved = promise;
    if (HostedShard* host = shard(id)) {
      host->replica().OnPromiseSaved(promise, world_.loop().time());
    }
  });
}

void Server::SendToPeer(const ReplicaId& to, PeerMessage message) {
  world_.SendPeerMessage(*this, to, std::move(message));
}

void Server::SendReport(const ReplicaReport& report) {
  world_.SendToCoordinator(*this,
                           [this, report] { world_.coordinator_told(report); });
}

void Server::SendCheckpoint(const ReplicaId& learner, ShardId id,
                            ToyState state, LogPosition at, HistoryId history,
                            bool damaged) {
  const Micros takes = world_.loop().Between(1, 40) * kMilli;
  const auto answer = [this, learner, id, at](bool installed) {
    HostedShard* host = shard(id);
    if (!host) return;
    const absl::Duration now = world_.loop().time();
    if (installed) {
      host->replica().OnCheckpointSent(learner, at.lsn, now);
    } else {
      host->replica().OnCheckpointFailed(learner, now);
    }
  };
  After(takes, [=, this, state = std::move(state)] {
    if (!world_.loop().Chance(0.9)) {
      ++world_.result().faults["checkpoint broken off"];
      answer(false);
      return;
    }
    Server* other = world_.FindServer(learner);
    HostedShard* target = other ? other->shard(id) : nullptr;
    if (target) target->InstallCheckpoint(state, at, history, damaged);
    After(world_.loop().Between(50, 400),
          [answer, installed = target != nullptr] { answer(installed); });
  });
}

}  // namespace paramo::sim
