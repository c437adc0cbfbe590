// Requests to a server, from the bytes of each to the rows: the service and
// its shards are real, only the transport is not there. Each request of the
// input has its length before it (2 bytes) and, behind it, three choices of
// ours. Oracles: every request is answered exactly once, with a Reply that can
// be read and has its sections; rows stay finite; when no push was taken,
// there are none; and in the end no byte is held.
#include "server/service/data_service.h"

#include <cmath>
#include <optional>

#include "common/base/limits.h"
#include "common/wire/reply.h"
#include "server/shard/shard.h"
#include "paramo/v1/cluster.pb.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/server/shard/instant_port.h"

namespace paramo {
namespace {

constexpr uint32_t kShards = 2;
constexpr size_t kRequestsMax = 16;

// What came of one request.
struct Answer : ReplySink {
  void Reply(Message message) override {
    ++times;
    std::string bytes;
    for (const Buffer& buffer : message) {
      bytes.append(reinterpret_cast<const char*>(buffer.data()), buffer.size());
    }
    auto parsed = wire::ParseReply(Rope::FromString(bytes));
    PARAMO_CHECK(parsed.ok());
    reply = *std::move(parsed);
  }
  void Fail(const absl::Status& status) override {
    ++times;
    PARAMO_CHECK(!status.ok());
  }
  bool cancelled() const override { return false; }
  std::string peer() const override { return "fuzz"; }

  int times = 0;
  size_t pushes = 0;  // sections of the request
  size_t pulls = 0;
  std::optional<wire::ReplyView> reply;
};

std::shared_ptr<const TableConfig> MakeTable(TableId id, const char* rule,
                                             float delay_compensation) {
  v1::Table table;
  table.set_id(id);
  table.set_version(1);
  v1::TableSpec& spec = *table.mutable_spec();
  spec.set_name(id == 1 ? "one" : "two");
  spec.set_dim(2);
  spec.mutable_rule()->set_name(rule);
  (*spec.mutable_rule()->mutable_params())["lr"] = 0.5;
  spec.set_delay_compensation(delay_compensation);
  return *MakeTableConfig(table);
}

// Two shards of one server; session 9 is the only worker of a job.
class Service {
 public:
  explicit Service(SyncKind sync) {
    view_->version = 5;
    view_->tables[1] = MakeTable(1, "sgd", 0);
    view_->tables[2] = MakeTable(2, "adagrad", 1);
    ShardView all;
    all.config.epoch = all.config.term = 1;
    all.config.history = 7;
    all.config.primary = 1;
    all.config.in_sync = {{1, 99}};
    all.address = "here:1";
    view_->shards.assign(kShards, all);
    JobView job;
    job.id = 1;
    job.name = "job";
    job.sync.kind = sync;
    job.sync.quorum = 1;
    job.members.push_back({/*worker=*/0, /*session=*/9, 1, 0, false, 0});
    view_->jobs.push_back(job);
    std::vector<Shard*> shards;
    for (ShardId id = 0; id < kShards; ++id) {
      Shard::Options options;
      options.id = id;
      options.shard_count = kShards;
      options.self = {1, 99};
      ports_.push_back(std::make_unique<InstantPort>());
      options.port = ports_.back().get();
      options.clock = &clock_;
      options.counters = &counters_;
      options.parked = &parked_;
      options.rounds = &rounds_;
      shards_.push_back(std::make_unique<Shard>(options));
      Shard* shard = shards_.back().get();
      shards.push_back(shard);
      ports_.back()->SetShard(shard);
      shard->Post([this, shard] { shard->ApplyView(view_); });
    }
    service_.SetIdentity({77, 78, 1, 99});
    service_.SetView(view_, shards);
  }

  void Send(Rope request, DataMethod method, bool first) {
    answers_.push_back(std::make_shared<Answer>());
    auto parsed = wire::ParseRequest(request);
    if (parsed.ok()) {
      answers_.back()->pushes = parsed->push.size();
      answers_.back()->pulls = parsed->pull.size();
    }
    service_.Handle(std::make_unique<IncomingCall>(
        answers_.back(), std::move(request), method, first,
        absl::InfiniteDuration()));
  }

  void Wait(absl::Duration time) {
    clock_.Advance(time);
    for (auto& shard : shards_) {
      shard->Post([this, &shard] { shard->Expire(clock_.Now()); });
    }
  }

  // After everything: stops the shards, so that what waits is answered.
  void Check() {
    for (auto& shard : shards_) {
      shard->Post([&shard] { shard->StopServing(); });
    }
    bool applied = false;
    for (const auto& answer : answers_) {
      PARAMO_CHECK(answer->times == 1);
      applied |= CheckReply(*answer);
    }
    PARAMO_CHECK(service_.in_flight() == 0);
    for (auto& shard : shards_) {
      for (TableId id : {1, 2}) CheckRows(*shard->table(id), applied);
    }
    answers_.clear();
    shards_.clear();  // and with them the contributions of open rounds
    PARAMO_CHECK(held_.held() == 0);
    PARAMO_CHECK(replies_.held() == 0);
  }

 private:
  // Whether it says that some push was taken.
  static bool CheckReply(const Answer& answer) {
    if (!answer.reply.has_value() || answer.reply->code != 0) return false;
    if (answer.reply->hello.has_value()) return false;
    PARAMO_CHECK(answer.reply->push.size() == answer.pushes);
    PARAMO_CHECK(answer.reply->pull.size() == answer.pulls);
    bool taken = false;
    for (const auto& push : answer.reply->push) {
      taken |= push.header.code == 0 || push.header.outcome != 0;
    }
    for (const auto& pull : answer.reply->pull) {
      PARAMO_CHECK(wire::CheckCrc(answer.reply->rope, pull).ok());
    }
    return taken;
  }

  static void CheckRows(const TableShard& table, bool applied) {
    PARAMO_CHECK(applied || table.rows() == 0);
    for (Key key : table.Keys(0, 64)) {
      float row[2];
      table.Gather({&key, 1}, reinterpret_cast<uint8_t*>(row));
      PARAMO_CHECK(std::isfinite(row[0]) && std::isfinite(row[1]));
    }
  }

  FakeClock clock_;
  MetricsRegistry metrics_;
  ShardCounters counters_{metrics_};
  Budget held_{size_t{1} << 20};
  Budget replies_{size_t{1} << 20};
  std::atomic<size_t> parked_{0};
  RoundBoard rounds_;
  std::shared_ptr<ClusterView> view_ = std::make_shared<ClusterView>();
  std::vector<std::unique_ptr<InstantPort>> ports_;
  std::vector<std::unique_ptr<Shard>> shards_;
  DataService service_{clock_, held_, replies_, metrics_, counters_};
  std::vector<std::shared_ptr<Answer>> answers_;
};

// The same request with checksums that fit, so that inputs get past them.
std::string Sealed(const std::string& bytes) {
  auto view = wire::ParseRequest(Rope::FromString(bytes));
  if (!view.ok() || view->hello.has_value()) return bytes;
  wire::RequestWriter writer(view->id, view->cluster, view->deadline_ms);
  for (const auto& section : view->push) {
    writer.AddPush(section.header, section.keys.size / 8, section.values.size);
  }
  for (const auto& section : view->pull) {
    writer.AddPull(section.header, section.keys.size / 8);
  }
  writer.Allocate();
  size_t s = 0;
  for (const auto* sections : {&view->push, &view->pull}) {
    for (const auto& section : *sections) {
      const size_t key_bytes = section.keys.size / 8 * 8;
      view->rope.Copy(section.keys.offset, key_bytes, writer.keys(s));
      if (sections == &view->push) {
        view->rope.Copy(section.values.offset, section.values.size,
                        writer.values(s));
      }
      writer.Seal(s++);
    }
  }
  Message message = writer.Take();
  return {reinterpret_cast<char*>(message[0].data()), message[0].size()};
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  SetLog(LogLevel::kError, "fuzz");
  fuzz::Input input(data, size);
  Service service(static_cast<SyncKind>(input.Choice(4)));
  for (size_t i = 0; i < kRequestsMax && !input.empty(); ++i) {
    const std::string length = input.Take(2);
    const auto low = static_cast<uint8_t>(length[0]);
    const auto high = static_cast<uint8_t>(length.size() > 1 ? length[1] : 0);
    std::string bytes = input.Take(low | size_t{high} << 8);
    const std::string chosen = input.Take(3);
    fuzz::Input choices(reinterpret_cast<const uint8_t*>(chosen.data()),
                        chosen.size());
    const bool first = choices.Choice(32) == 31;
    const auto method = static_cast<DataMethod>(3 - choices.Choice(4));
    const size_t piece = choices.Choice(256);
    if (piece % 2 == 0) bytes = Sealed(bytes);
    service.Send(fuzz::Sliced(bytes, 1 + piece), method, first);
    service.Wait(absl::Milliseconds(piece));
  }
  service.Check();
  return 0;
}
