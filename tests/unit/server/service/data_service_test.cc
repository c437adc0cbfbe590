// Requests as a whole: hello, cluster, deadline, budget, splitting. The shards
// behind are real; only the transport is not there.
#include "server/service/data_service.h"
#include "paramo/v1/cluster.pb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/hash/hash128.h"
#include "common/routing/routing.h"
#include "common/wire/layout.h"
#include "common/wire/reply.h"
#include "server/shard/shard.h"
#include "tests/unit/server/shard/instant_port.h"

namespace paramo {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using wire::Reason;

constexpr uint32_t kShards = 4;
constexpr TableId kTable = 1;
constexpr uint32_t kDim = 2;
constexpr SessionId kMember = 500;  // of a bsp job

// Keeps what the service answers.
struct Answer : ReplySink {
  void Reply(Message message) override {
    ++times;
    std::string bytes;
    for (const Buffer& buffer : message) {
      bytes.append(reinterpret_cast<const char*>(buffer.data()), buffer.size());
    }
    reply = *wire::ParseReply(Rope::FromString(bytes));
  }
  void Fail(const absl::Status& status) override {
    ++times;
    failed = status;
  }
  bool cancelled() const override { return false; }
  std::string peer() const override { return "test"; }

  int times = 0;
  std::optional<wire::ReplyView> reply;
  absl::Status failed;
};

class DataServiceTest : public ::testing::Test {
 protected:
  DataServiceTest() {
    v1::Table table;
    table.set_id(kTable);
    table.set_version(1);
    table.mutable_spec()->set_name("t");
    table.mutable_spec()->set_dim(kDim);
    table.mutable_spec()->mutable_rule()->set_name("sgd");
    (*table.mutable_spec()->mutable_rule()->mutable_params())["lr"] = 1;
    auto view = std::make_shared<ClusterView>();
    view->version = 5;
    view->tables[kTable] = *MakeTableConfig(table);
    table.set_id(2);
    table.mutable_spec()->set_name("wide");
    table.mutable_spec()->set_dim(kDimMax);
    view->tables[2] = *MakeTableConfig(table);
    JobView job;  // of two, so that no round closes by one alone
    job.id = 1;
    job.name = "job";
    job.sync.kind = SyncKind::kBsp;
    job.members = {{0, kMember, 1, 0, false, 0},
                   {1, kMember + 1, 1, 0, false, 0}};
    view->jobs.push_back(job);
    for (ShardId id = 0; id < kShards; ++id) {
      // Shard 3 is another server's.
      ShardConfig config;
      config.epoch = config.term = 1;
      config.history = 7;
      config.primary = id == 3 ? 2 : 1;
      config.in_sync = {{config.primary, 99}};
      view->shards.push_back({config, id == 3 ? "other:1" : "here:1"});
    }
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
      shards.push_back(shards_.back().get());
      ports_.back()->SetShard(shards.back());
      shards_.back()->Post([&, id] { shards_[id]->ApplyView(view); });
    }
    service_.SetIdentity({77, 78, 1, 99});
    service_.SetView(view, shards);
  }

  std::shared_ptr<Answer> Send(
      Message message, DataMethod method = DataMethod::kStream,
      bool first = false, absl::Duration timeout = absl::InfiniteDuration()) {
    auto answer = std::make_shared<Answer>();
    std::string bytes(reinterpret_cast<char*>(message[0].data()),
                      message[0].size());
    service_.Handle(std::make_unique<IncomingCall>(
        answer, Rope::FromString(bytes), method, first, timeout));
    EXPECT_EQ(answer->times, 1);
    return answer;
  }

  static Message Push(const std::vector<Key>& keys, float value,
                      uint64_t cluster = 0, TableId table = kTable,
                      uint32_t dim = kDim) {
    return Write(keys, value, cluster, table, dim, /*is_pull=*/false);
  }
  static Message Pull(const std::vector<Key>& keys, TableId table = kTable) {
    return Write(keys, 0, 0, table, 0, /*is_pull=*/true);
  }
  static Message Write(const std::vector<Key>& keys, float value,
                       uint64_t cluster, TableId table, uint32_t dim,
                       bool is_pull) {
    wire::RequestWriter writer(/*id=*/3, cluster, 0);
    wire::SectionHeader header;
    header.shard = ShardOf(table, keys[0], kShards);
    header.epoch = 1;
    header.history = 7;
    header.table = table;
    std::vector<float> values(keys.size() * dim, value);
    if (is_pull) {
      writer.AddPull(header, keys.size());
    } else {
      writer.AddPush(header, keys.size(), values.size() * 4);
    }
    writer.Allocate();
    memcpy(writer.keys(0), keys.data(), keys.size() * 8);
    if (!is_pull) memcpy(writer.values(0), values.data(), values.size() * 4);
    writer.Seal(0);
    return writer.Take();
  }

  static Key KeyOn(ShardId shard) {
    Key key = 0;
    while (ShardOf(kTable, key, kShards) != shard) ++key;
    return key;
  }
  uint64_t Refused(Reason reason) {
    return counters_.refused[static_cast<size_t>(reason)]->Value();
  }

  FakeClock clock_;
  MetricsRegistry metrics_;
  ShardCounters counters_{metrics_};
  Budget held_{size_t{1} << 20};
  Budget replies_{size_t{1} << 20};
  std::atomic<size_t> parked_{0};
  RoundBoard rounds_;
  std::vector<std::unique_ptr<InstantPort>> ports_;
  std::vector<std::unique_ptr<Shard>> shards_;
  DataService service_{clock_, held_, replies_, metrics_, counters_};
};

TEST_F(DataServiceTest, PushAndPullGoToTheirShard) {
  auto push = Send(Push({KeyOn(0)}, 2));
  ASSERT_TRUE(push->reply.has_value());
  EXPECT_EQ(push->reply->id, 3u);
  EXPECT_EQ(push->reply->state_version, 5u);
  EXPECT_EQ(push->reply->push[0].header.code, 0u);
  auto pull = Send(Pull({KeyOn(0)}));
  float row[kDim];
  pull->reply->rope.Copy(pull->reply->pull[0].values.offset, sizeof(row), row);
  EXPECT_THAT(row, Each(-2));
  EXPECT_EQ(service_.in_flight(), 0u);
  EXPECT_EQ(held_.held(), 0u);
  EXPECT_EQ(replies_.held(), 0u);
}

// The number is not consumed, and what is logged has the keys.
TEST_F(DataServiceTest, AsksForTheKeysOfAListThatItDoesNotKnow) {
  std::vector<Key> keys;
  for (Key key = 0; keys.size() < kKeyListKeysMin; ++key) {
    if (ShardOf(kTable, key, kShards) == 0) keys.push_back(key);
  }
  const std::vector<float> ones(keys.size() * kDim, 1);
  const auto push = [&](uint64_t seq, bool as_hash) {
    wire::RequestWriter writer(/*id=*/3, 0, 0);
    wire::SectionHeader header;
    header.epoch = 1;
    header.history = 7;
    header.table = kTable;
    header.session = 600;
    header.seq = seq;
    writer.AddPush(header, keys.size(), ones.size() * 4);
    const Hash128 hash = HashBytes128(keys.data(), keys.size() * sizeof(Key));
    writer.SetKeys(keys.data(), as_hash ? std::optional(hash) : std::nullopt);
    writer.Allocate();
    memcpy(writer.values(0), ones.data(), ones.size() * 4);
    writer.Seal(0);
    return Send(writer.Take())->reply->push[0];
  };
  const auto needs = push(1, true);
  EXPECT_EQ(needs.header.code,
            static_cast<uint32_t>(absl::StatusCode::kAborted));
  EXPECT_EQ(needs.header.reason, static_cast<uint32_t>(Reason::kNeedKeys));
  EXPECT_EQ(Refused(Reason::kNeedKeys), 1u);
  EXPECT_EQ(push(1, false).header.code, 0u);
  EXPECT_EQ(push(2, true).header.code, 0u);
  EXPECT_EQ(push(2, true).header.code, 0u);  // a duplicate

  for (const Record& record : ports_[0]->log()) {
    if (record.kind() != RecordKind::kPush) continue;
    const auto section = wire::ParseSection(record.payload);
    ASSERT_TRUE(section.ok()) << section.status();
    EXPECT_EQ(section->keys.size, keys.size() * sizeof(Key));
  }
  auto pull = Send(Pull(keys));
  float row[kDim];
  pull->reply->rope.Copy(pull->reply->pull[0].values.offset, sizeof(row), row);
  EXPECT_THAT(row, Each(-2));
  EXPECT_EQ(held_.held(), 0u);
}

TEST_F(DataServiceTest, RepliesHaveABudgetOfTheirOwn) {
  BudgetCharge others;  // pulls that are parked elsewhere
  ASSERT_TRUE(replies_.TryCharge((size_t{1} << 20) - 4, others));
  auto pull = Send(Pull({KeyOn(0)}));
  EXPECT_EQ(pull->reply->reason, static_cast<uint32_t>(Reason::kOverloaded));
  EXPECT_THAT(pull->reply->message, HasSubstr("replies"));
  EXPECT_EQ(Send(Push({KeyOn(0)}, 1))->reply->push[0].header.code, 0u);
}

TEST_F(DataServiceTest, BeyondTheBudgetIsRefusedAndNothingIsHeld) {
  std::vector<Key> keys;
  for (Key key = 0; keys.size() < 100'000; ++key) {
    if (ShardOf(kTable, key, kShards) == 0) keys.push_back(key);
  }
  auto push = Send(Push(keys, 1));  // 1.6 MB against a budget of 1 MiB
  EXPECT_EQ(push->reply->code,
            static_cast<uint32_t>(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(push->reply->message, HasSubstr("try again"));
  EXPECT_EQ(Refused(Reason::kOverloaded), 1u);
  EXPECT_EQ(held_.held(), 0u);
  EXPECT_EQ(Send(Push({KeyOn(0)}, 1))->reply->push[0].header.code, 0u);
}

// Else the client would take its number for settled.
TEST_F(DataServiceTest, ADamagedNumberOfAShardIsADamagedSection) {
  Message push = Push({KeyOn(0)}, 1);
  uint8_t* section = push[0].data() + 9 + 3;  // behind id, tag and length
  ASSERT_EQ(section[0], wire::FixedTag<uint32_t>(1));
  section[3] ^= 1;
  const auto answer = Send(std::move(push));
  EXPECT_EQ(answer->reply->push[0].header.code,
            static_cast<uint32_t>(absl::StatusCode::kDataLoss));
  EXPECT_EQ(Refused(Reason::kChecksum), 1u);
}

TEST_F(DataServiceTest, ADeadlineIsTenMinutesAtMost) {
  wire::RequestWriter writer(/*id=*/3, /*cluster=*/0, /*deadline_ms=*/~0u);
  wire::SectionHeader header;
  header.shard = 0;
  header.epoch = 1;
  header.history = 7;
  header.table = kTable;
  header.session = kMember;
  header.session_epoch = 1;
  header.clock = 1;  // after a round that nobody closes
  writer.AddPull(header, 1);
  writer.Allocate();
  const Key key = KeyOn(0);
  memcpy(writer.keys(0), &key, sizeof key);
  writer.Seal(0);
  const Message message = writer.Take();
  auto answer = std::make_shared<Answer>();
  service_.Handle(std::make_unique<IncomingCall>(
      answer,
      Rope::FromString(std::string(
          reinterpret_cast<const char*>(message[0].data()), message[0].size())),
      DataMethod::kStream, /*first=*/false, absl::InfiniteDuration()));
  const absl::Duration end = clock_.Now() + absl::Milliseconds(kDeadlineMaxMs);
  shards_[0]->Expire(end - absl::Milliseconds(1));
  EXPECT_EQ(answer->times, 0);
  shards_[0]->Expire(end);
  ASSERT_EQ(answer->times, 1);
  EXPECT_EQ(answer->reply->pull[0].header.reason,
            static_cast<uint32_t>(Reason::kDeadline));
}

TEST_F(DataServiceTest, APullThatWouldNotFitAReplyIsRefused) {
  // 300 keys of 256 KiB each: 8 bytes in, 75 MiB out.
  std::vector<Key> keys;
  for (Key key = 0; keys.size() < 300; ++key) {
    if (ShardOf(2, key, kShards) == 0) keys.push_back(key);
  }
  auto pull = Send(Pull(keys, /*table=*/2));
  EXPECT_EQ(pull->reply->reason, static_cast<uint32_t>(Reason::kTooLarge));
}

TEST_F(DataServiceTest, ARequestForAnotherClusterIsRefused) {
  EXPECT_EQ(Send(Push({KeyOn(0)}, 1, /*cluster=*/77))->reply->code, 0u);
  auto other = Send(Push({KeyOn(0)}, 1, /*cluster=*/76));
  EXPECT_EQ(other->failed.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DataServiceTest, ADeadlineThatHasPassedDoesNoWork) {
  auto push =
      Send(Push({KeyOn(0)}, 1), DataMethod::kPush, false, absl::ZeroDuration());
  EXPECT_EQ(push->failed.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(counters_.push_rows.Value(), 0u);
}

TEST_F(DataServiceTest, UnaryMethodsTakeTheirOwnSectionsOnly) {
  EXPECT_EQ(Send(Pull({KeyOn(0)}), DataMethod::kPush)->failed.code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Send(Push({KeyOn(0)}, 1), DataMethod::kPull)->failed.code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(
      Send(Push({KeyOn(0)}, 1), DataMethod::kPushPull)->reply.has_value());
}

TEST_F(DataServiceTest, HelloTellsWhoIsWho) {
  wire::Hello hello;
  hello.cluster_id = 77;
  auto answer = Send(wire::WriteHelloRequest(1, hello), DataMethod::kStream,
                     /*first=*/true);
  ASSERT_TRUE(answer->reply.has_value());
  EXPECT_EQ(answer->reply->hello->server_id, 1u);
  EXPECT_EQ(answer->reply->hello->server_incarnation, 99u);

  hello.cluster_id = 76;
  EXPECT_EQ(Send(wire::WriteHelloRequest(1, hello), DataMethod::kStream, true)
                ->failed.code(),
            absl::StatusCode::kFailedPrecondition);
  hello.cluster_id = 0;
  hello.protocol_min = 2;
  hello.protocol_max = 3;
  auto newer =
      Send(wire::WriteHelloRequest(1, hello), DataMethod::kStream, true);
  EXPECT_THAT(std::string(newer->failed.message()), HasSubstr("upgrade"));
  EXPECT_EQ(Send(Push({KeyOn(0)}, 1), DataMethod::kStream, true)->failed.code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(DataServiceTest, BytesThatAreNoRequestEndTheStream) {
  Buffer garbage(32);
  memset(garbage.data(), 0xff, 32);
  Message message;
  message.push_back(std::move(garbage));
  EXPECT_EQ(Send(std::move(message))->failed.code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refused(Reason::kMalformed), 1u);
}

}  // namespace
}  // namespace paramo
