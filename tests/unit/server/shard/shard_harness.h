// A shard without a server around it: requests in, answers out, on one thread.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/metrics/metrics.h"
#include "common/routing/routing.h"
#include "common/wire/request.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/shard/shard.h"
#include "tests/unit/server/shard/instant_port.h"

namespace paramo {

inline constexpr uint32_t kShardCount = 4;
inline constexpr TableId kTable = 1;
inline constexpr uint32_t kDim = 3;
inline constexpr ReplicaId kSelf = {1, 91};

// The first `n` keys of a shard.
inline std::vector<Key> KeysOf(ShardId shard, size_t n) {
  std::vector<Key> keys;
  for (Key key = 0; keys.size() < n; ++key) {
    if (ShardOf(kTable, key, kShardCount) == shard) keys.push_back(key);
  }
  return keys;
}

class ShardHarness {
 public:
  // One table: dim 3, rule sgd with lr 1, zeros; so a row is minus the sum of
  // its gradients.
  explicit ShardHarness(SyncKind sync = SyncKind::kAsync) {
    spec_.set_id(kTable);
    spec_.mutable_spec()->set_name("t");
    spec_.mutable_spec()->set_dim(kDim);
    spec_.mutable_spec()->mutable_rule()->set_name("sgd");
    (*spec_.mutable_spec()->mutable_rule()->mutable_params())["lr"] = 1;
    SetTable([](v1::TableSpec&) {});
    view_.shards.resize(kShardCount);
    view_.newest_table = 99;
    for (ShardView& shard : view_.shards) {
      shard.config.epoch = shard.config.term = 3;
      shard.config.history = 7;
      shard.config.primary = 1;
      shard.config.in_sync = {kSelf};
      shard.address = "a:1";
    }
    JobView job;
    job.id = 1;
    job.name = "job";
    job.sync.kind = sync;
    view_.jobs.push_back(job);
    port_.SetStore([this](const RowKeys& keys) { return ReadStored(keys); });
    MakeShard();
  }

  void MakeShard() {
    Shard::Options options;
    options.id = 2;
    options.shard_count = kShardCount;
    options.self = kSelf;
    options.clock = &clock_;
    options.counters = &counters_;
    options.parked = &parked_;
    options.rounds = &rounds_;
    options.port = &port_;
    shard_ = std::make_unique<Shard>(options);
    port_.SetShard(shard_.get());
  }

  // Makes the view's table another version of itself; Apply brings it.
  void SetTable(const std::function<void(v1::TableSpec&)>& change) {
    change(*spec_.mutable_spec());
    spec_.set_version(spec_.version() + 1);
    view_.tables[kTable] = *MakeTableConfig(spec_);
  }

  Shard& shard() { return *shard_; }
  InstantPort& port() { return port_; }
  // Another takeover, by this server.
  void NextTerm() {
    ShardConfig& config = view_.shards[2].config;
    config.term = ++config.epoch;
  }
  ClusterView& view() { return view_; }
  ShardCounters& counters() { return counters_; }
  void Apply() {
    auto view = std::make_shared<const ClusterView>(view_);
    shard_->Post([this, view] { shard_->ApplyView(view); });
  }
  void Expire(absl::Duration now) {
    shard_->Post([this, now] { shard_->Expire(now); });
  }
  void Join(WorkerId worker, SessionId session, WorkerClock first = 0) {
    auto& members = view_.jobs[0].members;
    for (MemberView& member : members) {
      if (member.worker != worker) continue;
      member = {worker, session, 1, first, false, 0};
      return Apply();
    }
    members.push_back({worker, session, 1, first, false, 0});
    Apply();
  }
  void Leave(WorkerId worker, WorkerClock first_without = ~0ull) {
    for (MemberView& member : view_.jobs[0].members) {
      if (member.worker != worker) continue;
      member.left = true;
      member.left_clock = first_without;
    }
    Apply();
  }

  // A request in flight and, when done, its answer.
  struct Sent : SectionTask {
    Sent() : SectionTask(&Shard::RunTask) {
      SectionTask::done = [](SectionTask* task) {
        auto* self = static_cast<Sent*>(task);
        ++self->times_done;
      };
    }
    int times_done = 0;
    std::vector<float> rows_out;
    std::vector<uint8_t> encoded_out;  // of a pull in another codec than f32
    bool done() const { return times_done == 1; }
    absl::StatusCode code() const {
      return static_cast<absl::StatusCode>(reply.header.code);
    }
    wire::Reason reason() const {
      return static_cast<wire::Reason>(reply.header.reason);
    }
    wire::Outcome outcome() const {
      return static_cast<wire::Outcome>(reply.header.outcome);
    }
  };

  wire::SectionHeader Header() const {
    wire::SectionHeader header;
    header.shard = 2;
    header.epoch = view_.shards[2].config.epoch;
    header.history = view_.shards[2].config.history;
    header.table = kTable;
    header.table_version = 1;
    header.examples = 1;
    return header;
  }

  // `piece` > 0 cuts the message into pieces of that many bytes.
  std::unique_ptr<Sent> Push(wire::SectionHeader header,
                             const std::vector<Key>& keys,
                             const std::vector<float>& grads,
                             size_t piece = 0) {
    std::vector<uint8_t> values(grads.size() * 4);
    if (!grads.empty()) memcpy(values.data(), grads.data(), values.size());
    return PushEncoded(header, keys, values, piece);
  }

  // Value bytes as they are, in the header's codec.
  std::unique_ptr<Sent> PushEncoded(wire::SectionHeader header,
                                    const std::vector<Key>& keys,
                                    const std::vector<uint8_t>& values,
                                    size_t piece = 0) {
    wire::RequestWriter writer(1, 0, 0);
    writer.AddPush(header, keys.size(), values.size());
    writer.Allocate();
    if (!keys.empty()) memcpy(writer.keys(0), keys.data(), keys.size() * 8);
    if (!values.empty()) {
      memcpy(writer.values(0), values.data(), values.size());
    }
    writer.Seal(0);
    auto sent = Parse(writer.Take(), piece);
    sent->section = view_of_.push[0];
    sent->keys = absl::MakeSpan(sent->data->keys);
    sent->rows = absl::MakeSpan(sent->data->rows);
    shard_->Submit(sent.get());
    return sent;
  }

  std::unique_ptr<Sent> Pull(wire::SectionHeader header,
                             const std::vector<Key>& keys,
                             absl::Duration deadline = absl::Hours(1)) {
    wire::RequestWriter writer(1, 0, 0);
    writer.AddPull(header, keys.size());
    writer.Allocate();
    if (!keys.empty()) memcpy(writer.keys(0), keys.data(), keys.size() * 8);
    writer.Seal(0);
    auto sent = Parse(writer.Take(), 0);
    sent->keys = absl::MakeSpan(sent->data->keys);
    AimPull(*sent, deadline);
    shard_->Submit(sent.get());
    return sent;
  }

  // One request that pushes and then pulls the same keys.
  std::pair<std::unique_ptr<Sent>, std::unique_ptr<Sent>> PushPull(
      wire::SectionHeader header, const std::vector<Key>& keys,
      const std::vector<float>& grads) {
    wire::RequestWriter writer(1, 0, 0);
    writer.AddPush(header, keys.size(), grads.size() * 4);
    header.seq = 0;
    writer.AddPull(header, keys.size());
    writer.Allocate();
    for (size_t part : {0, 1}) {
      memcpy(writer.keys(part), keys.data(), keys.size() * 8);
    }
    memcpy(writer.values(0), grads.data(), grads.size() * 4);
    for (size_t part : {0, 1}) writer.Seal(part);
    auto push = Parse(writer.Take(), 0);
    auto pull = std::make_unique<Sent>();
    const auto all = absl::MakeSpan(push->data->keys);
    push->section = view_of_.push[0];
    push->keys = all.subspan(0, keys.size());
    push->rows = absl::MakeSpan(push->data->rows).subspan(0, keys.size());
    pull->data = push->data;
    pull->keys = all.subspan(keys.size());
    AimPull(*pull, absl::Hours(1));
    pull->follows_push = true;
    shard_->Submit(push.get());
    shard_->Submit(pull.get());
    return {std::move(push), std::move(pull)};
  }

  // Everything that the store would have of the shard.
  ShardFlush Flush() {
    ShardFlush all;
    for (;;) {
      ShardFlush flush;
      shard_->Collect(2, [&flush](ShardFlush f) { flush = std::move(f); });
      if (flush.empty()) break;
      shard_->Flushed(flush, absl::OkStatus());
      for (const RowRecord& row : flush.rows) {
        all.AddRow(row.table, flush.Record(row));
        stored_rows_[row.key] = std::string(flush.Record(row));
      }
      if (!flush.state.empty()) stored_state_ = all.state = flush.state;
    }
    return all;
  }

  // What the store would say to a fetch.
  FetchedRows ReadStored(const RowKeys& keys) {
    FetchedRows fetched;
    for (const auto& [table, wanted] : keys) {
      for (const Key key : wanted) {
        auto row = stored_rows_.find(key);
        if (row != stored_rows_.end()) {
          fetched.rows.AddRow(table, row->second);
        } else {
          fetched.failed[{table, key}] = absl::DataLossError("row lost");
        }
      }
    }
    return fetched;
  }
  std::map<Key, std::string>& stored_rows() { return stored_rows_; }

  // The shard stops, and another begins with what it stored.
  void Restart() {
    Flush();
    EXPECT_EQ(shard_->DirtyRows(), 0u);
    std::vector<std::unique_ptr<TableShard>> tables;
    v1::ShardState state;
    EXPECT_TRUE(state.ParseFromString(stored_state_));
    tables.push_back(
        std::make_unique<TableShard>(*view_.tables.at(kTable), ShardId{2}));
    for (const auto& [key, record] : stored_rows_) {
      EXPECT_TRUE(tables[0]
                      ->Restore(absl::MakeConstSpan(
                          reinterpret_cast<const uint8_t*>(record.data()),
                          record.size()))
                      .ok());
    }
    if (tables[0]->budgeted()) {
      tables[0]->Evict(BudgetOf(tables[0]->config(), kShardCount), SIZE_MAX);
    }
    const ShardConfig& config = view_.shards[2].config;
    MakeShard();
    // A shard that nothing has happened to has stored no state.
    Shard::Stored stored;
    if (!stored_state_.empty()) stored.state = &state;
    stored.tables = std::move(tables);
    stored.promise = {config.epoch, config.term, config.primary};
    EXPECT_TRUE(shard_->Restore(std::move(stored)).ok());
    NextTerm();
    Apply();
  }

  // The row of one key as anybody outside the job sees it.
  std::vector<float> Row(Key key) { return Pull(Header(), {key})->rows_out; }

  size_t parked() const { return parked_.load(); }
  void Park(size_t others) { parked_ += others; }
  RoundBoard& rounds() { return rounds_; }

 private:
  // Where its rows go, and what else makes it a pull.
  void AimPull(Sent& pull, absl::Duration deadline) {
    pull.section = view_of_.pull[0];
    pull.is_pull = true;
    pull.shard = shard_.get();
    pull.out_dim = kDim;
    pull.deadline = deadline;
    pull.rows_out.resize(pull.keys.size() * kDim, -777);
    pull.out = reinterpret_cast<uint8_t*>(pull.rows_out.data());
    pull.codec = *FindCodec(pull.section.header.codec);
    if (!pull.codec->in_place) {
      pull.encoded_out.resize(pull.keys.size() * pull.codec->row_bytes(kDim));
      pull.out = pull.encoded_out.data();
    }
  }

  std::unique_ptr<Sent> Parse(Message message, size_t piece) {
    std::string bytes(reinterpret_cast<char*>(message[0].data()),
                      message[0].size());
    if (piece == 0) piece = bytes.size();
    auto owner = std::make_shared<std::string>(bytes);
    Rope::Pieces pieces;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      pieces.push_back({reinterpret_cast<const uint8_t*>(owner->data()) + at,
                        std::min(piece, bytes.size() - at)});
    }
    view_of_ = *wire::ParseRequest(Rope(pieces, owner, bytes.size()));
    auto sent = std::make_unique<Sent>();
    sent->shard = shard_.get();
    sent->deadline = absl::Hours(1);
    sent->data = std::make_shared<RequestData>();
    size_t n = 0;
    for (const auto& s : view_of_.push) n += s.keys.size / 8;
    for (const auto& s : view_of_.pull) n += s.keys.size / 8;
    sent->data->keys.resize(n);
    sent->data->rows.resize(n);
    sent->data->rope = std::move(view_of_.rope);
    return sent;
  }

  FakeClock clock_;
  InstantPort port_;
  MetricsRegistry metrics_;
  ShardCounters counters_{metrics_};
  std::atomic<size_t> parked_{0};
  RoundBoard rounds_;
  v1::Table spec_;
  ClusterView view_;
  wire::RequestView view_of_;
  std::unique_ptr<Shard> shard_;
  std::map<Key, std::string> stored_rows_;  // as of the last Flush
  std::string stored_state_;
};

}  // namespace paramo
