#include "server/service/replica_io.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

std::string PromiseKey(ShardId shard) {
  return absl::StrCat("promise/", shard);
}

// The value is empty, or says that the store has lost its rows.
std::string StoppedKey(ShardId shard) {
  return absl::StrCat("stopped/", shard);
}
constexpr char kRowsLost[] = "rows lost";

std::string Encode(const Promise& promise) {
  v1::StoredPromise proto;
  proto.set_epoch(promise.epoch);
  proto.set_term(promise.term);
  proto.set_primary(promise.primary);
  return proto.SerializeAsString();
}

}  // namespace

absl::StatusOr<Promise> ReplicaIo::LoadPromise(const MetaStore& meta,
                                               ShardId shard) {
  PARAMO_ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                          meta.Get(PromiseKey(shard)));
  if (!bytes.has_value()) return Promise();
  v1::StoredPromise proto;
  if (!proto.ParseFromString(*bytes)) {
    return absl::DataLossError(
        absl::StrCat("the promise of shard ", shard, " cannot be read"));
  }
  return Promise{proto.epoch(), proto.term(), proto.primary()};
}

absl::StatusOr<ReplicaIo::Ending> ReplicaIo::HowEnded(const MetaStore& meta,
                                                      ShardId shard) {
  PARAMO_ASSIGN_OR_RETURN(const std::optional<std::string> note,
                          meta.Get(StoppedKey(shard)));
  if (!note.has_value()) return Ending::kNone;
  return *note == kRowsLost ? Ending::kRowsLost : Ending::kStopped;
}

absl::Status ReplicaIo::NoteRowsLost(MetaStore& meta,
                                     const std::vector<ShardId>& shards) {
  std::map<std::string, std::string> notes;
  for (const ShardId shard : shards) notes[StoppedKey(shard)] = kRowsLost;
  return meta.PutAll(notes);
}

ReplicaIo::ReplicaIo(MetaStore& meta, RowStore& rows, Log& log,
                     PeerLinks& links,
                     std::function<void(absl::Status)> on_failed)
    : meta_(meta),
      rows_(rows),
      log_(log),
      links_(links),
      taker_(rows),
      on_failed_(std::move(on_failed)),
      fetcher_(rows) {}

ReplicaIo::~ReplicaIo() { Stop(); }

void ReplicaIo::Start(std::vector<Shard*> shards) {
  shards_ = std::move(shards);
  thread_ = std::thread([this] { Run(); });
  fetcher_.Start(std::clamp<int>(std::thread::hardware_concurrency(), 2, 8));
}

void ReplicaIo::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  fetcher_.Stop();
}

void ReplicaIo::SavePromise(ShardId shard, const Promise& promise) {
  MutexLock lock(mu_);
  promises_[shard] = promise;
  wake_.NotifyAll();
}

void ReplicaIo::NoteStopped(ShardId shard) {
  MutexLock lock(mu_);
  jobs_.push_back([this, shard] {
    absl::Status noted = meta_.Put(StoppedKey(shard), "");
    if (!noted.ok()) LogError("noting a stopped replica: %s", ToString(noted));
  });
  wake_.NotifyAll();
}

void ReplicaIo::Wipe(ShardId shard, std::vector<TableId> tables) {
  MutexLock lock(mu_);
  jobs_.push_back([this, shard, tables = std::move(tables)] {
    const absl::Status wiped = WipeNow(shard, tables);
    if (!wiped.ok()) {
      return on_failed_(Annotate(wiped, absl::StrCat("wiping shard ", shard)));
    }
    Shard* target = shards_[shard];
    target->Post([target] { target->Wiped(); });
  });
  wake_.NotifyAll();
}

// The log forgets first: a crash in between leaves a state that is of another
// history still, and wiped again.
absl::Status ReplicaIo::WipeNow(ShardId shard,
                                const std::vector<TableId>& tables) {
  taker_.Forget(shard);
  const MarkRecord mark =
      MakeMark(RecordKind::kRestart, shard, /*epoch=*/0, /*history=*/0,
               /*lsn=*/0, /*crc=*/0);
  PARAMO_RETURN_IF_ERROR(
      log_.Append(mark.header, {mark.piece()}, Durability::kSynced));
  PARAMO_RETURN_IF_ERROR(log_.SyncAppended());
  PARAMO_RETURN_IF_ERROR(rows_.DropShard(shard, tables));
  return meta_.Delete(StoppedKey(shard));
}

void ReplicaIo::ReadLog(ShardId shard, const ReplicaId& peer, Lsn from,
                        size_t bytes_max) {
  MutexLock lock(mu_);
  jobs_.push_back([this, shard, peer, from, bytes_max] {
    absl::StatusOr<std::vector<Record>> read =
        log_.Read(shard, from, bytes_max);
    Shard* target = shards_[shard];
    target->Post([target, peer, read = std::move(read)]() mutable {
      target->WithReplica([&](Replica& replica, absl::Duration now) {
        if (read.ok()) {
          replica.OnLogRead(peer, *std::move(read), now);
        } else if (absl::IsOutOfRange(read.status())) {
          replica.OnLogCut(peer, now);
        } else {
          replica.Stop(read.status());
        }
      });
    });
  });
  wake_.NotifyAll();
}

void ReplicaIo::SendCheckpoint(ShardId shard, const ReplicaId& learner) {
  std::make_shared<CheckpointSender>(
      *shards_[shard], learner, links_,
      [this, shard](RowKeys keys, std::function<void(FetchedRows)> done) {
        FetchRows(shard, std::move(keys), std::move(done));
      })
      ->Start();
}

void ReplicaIo::FetchRows(ShardId shard, RowKeys keys,
                          std::function<void(FetchedRows)> done) {
  fetcher_.Fetch({shard, std::move(keys)}, std::move(done));
}

void ReplicaIo::TakeCheckpoint(std::string bytes,
                               std::function<void(absl::Status)> done) {
  MutexLock lock(mu_);
  jobs_.push_back([this, bytes = std::move(bytes), done = std::move(done)] {
    v1::CheckpointPart part;
    if (!part.ParseFromString(bytes) || part.shard() >= shards_.size()) {
      return done(absl::InvalidArgumentError("not a part of a checkpoint"));
    }
    done(taker_.Take(*shards_[part.shard()], part));
  });
  wake_.NotifyAll();
}

void ReplicaIo::Run() {
  pthread_setname_np(pthread_self(), "replica-io");
  for (;;) {
    std::map<ShardId, Promise> promises;
    std::function<void()> job;
    {
      MutexLock lock(mu_);
      while (promises_.empty() && jobs_.empty() && !stopping_) wake_.Wait(mu_);
      if (stopping_) return;
      promises = std::exchange(promises_, {});
      if (promises.empty()) {
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
    }
    if (job) {
      job();
    } else {
      SavePromises(promises);
    }
  }
}

void ReplicaIo::SavePromises(const std::map<ShardId, Promise>& promises) {
  std::map<std::string, std::string> entries;
  for (const auto& [shard, promise] : promises) {
    entries[PromiseKey(shard)] = Encode(promise);
  }
  absl::Status saved = meta_.PutAll(entries);
  if (!saved.ok()) return on_failed_(Annotate(saved, "storing promises"));
  for (const auto& [shard, promise] : promises) {
    Shard* target = shards_[shard];
    target->Post([target, promise = promise] {
      target->WithReplica([&](Replica& replica, absl::Duration now) {
        replica.OnPromiseSaved(promise, now);
      });
    });
  }
}

}  // namespace paramo
