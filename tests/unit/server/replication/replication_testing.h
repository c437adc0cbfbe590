// Two or three replicas wired by hand: nothing moves unless a test says so.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/replication/replica.h"

namespace paramo {

inline constexpr ReplicaId kA = {1, 11};
inline constexpr ReplicaId kB = {2, 22};
inline constexpr ReplicaId kC = {3, 33};

// One replica with a listener and effects that only write down.
class Node final : public ReplicaListener, public ReplicaEffects {
 public:
  explicit Node(const ReplicaId& id, size_t tail_bytes_max = kTailBytesMax)
      : replica({.shard = 7,
                 .self = id,
                 .tail_bytes_max = tail_bytes_max,
                 .bugs = {}},
                *this, *this) {}

  // The log writes what it has, and syncs it.
  void FlushLog(Durability level = Durability::kSynced) {
    if (log.empty()) return;
    const Lsn lsn = log.back().first.lsn();
    replica.OnLogged(lsn, Durability::kWritten, now);
    if (level == Durability::kSynced) replica.OnLogged(lsn, level, now);
  }
  void SavePromises() {
    while (!saving.empty()) {
      const Promise promise = saving.front();
      saving.pop_front();
      replica.OnPromiseSaved(promise, now);
    }
  }
  std::vector<std::string> AppliedPayloads() const {
    std::vector<std::string> payloads;
    for (const Record& record : applied) {
      payloads.push_back(record.payload.Flatten());
    }
    return payloads;
  }
  size_t Reports(ReplicaReport::Kind kind) const {
    size_t count = 0;
    for (const ReplicaReport& report : reports) count += report.kind == kind;
    return count;
  }

  void Apply(const Record& record) override {
    applied.push_back(record);
    sum = sum * 31 + record.header.crc32c;
  }
  void OnServing(Serving serving) override { servings.push_back(serving); }
  void OnTruncated(Lsn lsn) override { truncated.push_back(lsn); }
  std::optional<uint64_t> Checksum() override {
    return whole ? std::optional<uint64_t>(sum) : std::nullopt;
  }
  void OnStopped(const absl::Status& status) override { stopped = status; }
  void OnOtherHistory() override { ++void_told; }
  Lsn NewestChange() override { return newest_change; }

  void WriteLog(const Record& record, Durability level) override {
    log.push_back({record, level});
  }
  void SavePromise(const Promise& promise) override {
    saving.push_back(promise);
  }
  void Send(const ReplicaId& to, PeerMessage message) override {
    outbox.push_back({to, std::move(message)});
  }
  void Report(const ReplicaReport& report) override {
    reports.push_back(report);
  }
  void ReadLog(const ReplicaId& peer, Lsn from, size_t) override {
    reads.push_back({peer, from});
  }
  void SendCheckpoint(const ReplicaId& learner) override {
    checkpoints.push_back(learner);
  }

  absl::Duration now;
  std::vector<Record> applied;
  std::vector<Serving> servings;
  std::vector<Lsn> truncated;
  std::optional<absl::Status> stopped;
  int void_told = 0;  // that it is to begin anew
  Lsn newest_change = 0;
  bool whole = true;
  uint64_t sum = 0;
  std::vector<std::pair<Record, Durability>> log;
  std::deque<Promise> saving;
  std::deque<std::pair<ReplicaId, PeerMessage>> outbox;
  std::vector<ReplicaReport> reports;
  std::vector<std::pair<ReplicaId, Lsn>> reads;
  std::vector<ReplicaId> checkpoints;
  Replica replica;
};

class Wiring {
 public:
  Node& Add(const ReplicaId& id, size_t tail_bytes_max = kTailBytesMax) {
    nodes_[id] = std::make_unique<Node>(id, tail_bytes_max);
    return *nodes_[id];
  }
  Node& operator[](const ReplicaId& id) { return *nodes_.at(id); }

  void Configure(const ShardConfig& config) {
    for (auto& [id, node] : nodes_) node->replica.Configure(config, now_);
  }

  // Messages that wait at `from`; those to nobody are lost.
  void Deliver(const ReplicaId& from) {
    Node& node = *nodes_.at(from);
    std::deque<std::pair<ReplicaId, PeerMessage>> outbox;
    outbox.swap(node.outbox);
    for (auto& [to, message] : outbox) {
      auto target = nodes_.find(to);
      if (target == nodes_.end()) continue;
      target->second->replica.OnMessage(from, std::move(message), now_);
    }
  }

  // Promises, logs and messages until nothing is left to do.
  void Settle() {
    for (int i = 0; i < 20; ++i) {
      for (auto& [id, node] : nodes_) {
        node->SavePromises();
        node->FlushLog();
      }
      for (auto& [id, node] : nodes_) Deliver(id);
    }
  }

  // Time passes in ticks of 5 ms, everything reaching everybody.
  void Pass(absl::Duration time) {
    for (const absl::Duration end = now_ + time; now_ < end;) {
      now_ += absl::Milliseconds(5);
      for (auto& [id, node] : nodes_) {
        node->now = now_;
        node->replica.Tick(now_);
      }
      Settle();
    }
  }

  absl::Duration now() const { return now_; }

 private:
  std::map<ReplicaId, std::unique_ptr<Node>> nodes_;
  absl::Duration now_ = absl::Seconds(100);
};

inline ShardConfig Config(Epoch epoch, Epoch term, uint32_t primary,
                          std::vector<ReplicaId> in_sync,
                          std::vector<ReplicaId> learners = {}) {
  ShardConfig config;
  config.epoch = epoch;
  config.term = term;
  config.history = 5;
  config.primary = primary;
  config.in_sync = std::move(in_sync);
  config.learners = std::move(learners);
  return config;
}

inline ShardConfig Fencing(Epoch epoch, Epoch term,
                           std::vector<ReplicaId> in_sync) {
  ShardConfig config = Config(epoch, term, 0, std::move(in_sync));
  config.fencing = true;
  return config;
}

inline Lsn Push(Node& node, const std::string& bytes,
                Durability level = Durability::kWritten) {
  return node.replica.Append(RecordKind::kPush, Rope::FromString(bytes), level,
                             node.now);
}

}  // namespace paramo
