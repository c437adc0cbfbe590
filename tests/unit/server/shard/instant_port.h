// The world of a shard that has no server around it.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "server/shard/shard.h"

namespace paramo {

// A log and a metadata store that need no time, and no peers.
class InstantPort final : public ShardPort {
 public:
  bool HasRoom(size_t) const override { return true; }
  void Release(Lsn lsn) override { released_ = lsn; }
  void NoteStopped() override {}
  void Wipe(std::vector<TableId>) override {
    ++wipes_;
    log_.clear();
    shard_->Post([this] { shard_->Wiped(); });
  }
  void FetchRows(RowKeys keys, std::function<void(FetchedRows)> done) override {
    fetches_.push_back({std::move(keys), std::move(done)});
    if (!fetches_held_) GoFetches();
  }
  void WriteLog(const Record& record, Durability) override {
    // A copy: a log does not keep the request that a push came with.
    log_.push_back({record.header, Rope::FromString(record.payload.Flatten())});
    if (held_) return;
    Tell(record.lsn());
  }
  void SavePromise(const Promise& promise) override {
    shard_->Post([this, promise] {
      shard_->WithReplica([&](Replica& replica, absl::Duration now) {
        replica.OnPromiseSaved(promise, now);
      });
    });
  }
  void Send(const ReplicaId&, PeerMessage message) override {
    sent_.push_back(std::move(message));
  }
  void Report(const ReplicaReport& report) override {
    reports_.push_back(report);
  }
  void ReadLog(const ReplicaId&, Lsn, size_t) override {}
  void SendCheckpoint(const ReplicaId&) override {}

  void SetShard(Shard* shard) { shard_ = shard; }
  // Until Go, nothing that is written counts as written.
  void Hold() { held_ = true; }
  // But for these last ones.
  void TellAllBut(size_t records) { Tell(log_.back().lsn() - records); }
  void Go() {
    held_ = false;
    Tell(log_.back().lsn());
  }
  // Where FetchRows finds rows.
  void SetStore(std::function<FetchedRows(const RowKeys&)> store) {
    store_ = std::move(store);
  }
  // Until GoFetches, nothing that is asked of the store is answered.
  void HoldFetches() { fetches_held_ = true; }
  void GoFetches() {
    fetches_held_ = false;
    while (!fetches_.empty()) {
      const auto [keys, done] = std::move(fetches_.front());
      fetches_.erase(fetches_.begin());
      ++fetches_done_;
      done(store_(keys));
    }
  }
  int fetches() const { return fetches_done_; }

  const std::vector<Record>& log() const { return log_; }
  const std::vector<PeerMessage>& sent() const { return sent_; }
  const std::vector<ReplicaReport>& reports() const { return reports_; }
  Lsn released() const { return released_; }
  int wipes() const { return wipes_; }

 private:
  void Tell(Lsn lsn) {
    shard_->Post([this, lsn] {
      shard_->WithReplica([&](Replica& replica, absl::Duration now) {
        replica.OnLogged(lsn, Durability::kWritten, now);
        replica.OnLogged(lsn, Durability::kSynced, now);
      });
    });
  }

  Shard* shard_ = nullptr;
  bool held_ = false;
  std::function<FetchedRows(const RowKeys&)> store_;
  bool fetches_held_ = false;
  std::vector<std::pair<RowKeys, std::function<void(FetchedRows)>>> fetches_;
  int fetches_done_ = 0;
  std::vector<Record> log_;
  std::vector<ReplicaReport> reports_;
  std::vector<PeerMessage> sent_;
  Lsn released_ = 0;
  int wipes_ = 0;
};

}  // namespace paramo
