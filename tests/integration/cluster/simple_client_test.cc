// What a client made from the .proto files alone can do: unary calls with any
// mix of shards, odd encodings, and a stream that says hello.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/routing/routing.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "paramo/v1/data.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using Code = absl::StatusCode;

constexpr uint32_t kShards = 64;

std::vector<uint64_t> Keys(size_t n) {
  std::vector<uint64_t> keys(n);
  for (size_t i = 0; i < n; ++i) keys[i] = i * 7919;
  return keys;
}

class SimpleClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { cluster_ = std::make_unique<TestCluster>(); }
  static void TearDownTestSuite() { cluster_.reset(); }

  static v1::Table Create(const std::string& name, uint32_t dim) {
    auto table = cluster_->coordinator().CreateTable(CountingTable(name, dim));
    EXPECT_TRUE(table.ok()) << table.status();
    return *table;
  }
  // The server that answers at this address.
  static const Peer& At(const std::string& address) {
    for (int i = 0; i < cluster_->servers(); ++i) {
      if (cluster_->server(i).address() == address) return cluster_->server(i);
    }
    ADD_FAILURE() << "no server at " << address;
    return cluster_->server(0);
  }
  static std::string AddressOf(uint32_t shard) {
    auto state = cluster_->server(0).State();
    EXPECT_TRUE(state.ok()) << state.status();
    for (const v1::Server& server : state->servers()) {
      if (server.id() == state->shards(shard).primary()) {
        return server.address();
      }
    }
    return "";
  }

  static std::unique_ptr<TestCluster> cluster_;
};
std::unique_ptr<TestCluster> SimpleClientTest::cluster_;

TEST(OneServer, ServesAnyMixOfShardsInOneUnaryCall) {
  TestCluster cluster({.servers = 1});
  auto table = cluster.coordinator().CreateTable(CountingTable("t", 2));
  ASSERT_TRUE(table.ok()) << table.status();
  const std::vector<uint64_t> keys = Keys(300);
  std::vector<float> grads(600);
  std::vector<float> expected(600);
  for (size_t i = 0; i < 600; ++i) {
    grads[i] = static_cast<float>(i);
    expected[i] = -grads[i];
  }
  v1::Request push;
  *push.add_push() = SimpleSection(table->id(), keys, grads);
  auto pushed = cluster.server(0).Push(push);
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->push(0).code(), 0u) << pushed->push(0).message();
  EXPECT_EQ(pushed->push(0).outcome(), uint32_t{v1::OUTCOME_APPLIED});

  v1::Request pull;
  *pull.add_pull() = SimpleSection(table->id(), keys);
  auto pulled = cluster.server(0).Pull(pull);
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(Floats(pulled->pull(0).values()), expected);

  // The pull of a PushPull sees its push, on every shard.
  v1::Request both = push;
  *both.add_pull() = pull.pull(0);
  auto answered = cluster.server(0).PushPull(both);
  ASSERT_TRUE(answered.ok()) << answered.status();
  for (float& value : expected) value *= 2;
  EXPECT_EQ(Floats(answered->pull(0).values()), expected);
}

TEST_F(SimpleClientTest, ATableIsThereWhenItsCreationIsAnswered) {
  for (int i = 0; i < 50; ++i) {
    const v1::Table table = Create(absl::StrCat("new_", i), 1);
    for (int s = 0; s < cluster_->servers(); ++s) {
      v1::Request request;
      *request.add_pull() = SimpleSection(table.id(), Keys(64));
      auto reply = cluster_->server(s).Pull(request);
      ASSERT_TRUE(reply.ok()) << reply.status();
      ASSERT_NE(reply->pull(0).reason(), v1::REASON_UNKNOWN_TABLE)
          << "table " << i << ", server " << s;
    }
    ASSERT_TRUE(
        cluster_->coordinator().DropTable(absl::StrCat("new_", i)).ok());
  }
}

TEST_F(SimpleClientTest, FollowsRedirectsToTheServersOfItsKeys) {
  const v1::Table table = Create("redirected", 1);
  const std::vector<uint64_t> keys = Keys(300);
  v1::Request request;
  *request.add_push() =
      SimpleSection(table.id(), keys, std::vector<float>(300, 3));
  const uint64_t lsns = cluster_->LsnSum();
  const double refused = cluster_->server(1).Refused("wrong_shard");
  auto reply = cluster_->server(1).Push(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  const v1::SectionReply& answer = reply->push(0);
  EXPECT_EQ(answer.code(), static_cast<uint32_t>(Code::kAborted));
  EXPECT_EQ(answer.reason(), uint32_t{v1::REASON_WRONG_SHARD});
  EXPECT_EQ(answer.outcome(), uint32_t{v1::OUTCOME_NONE});
  EXPECT_EQ(cluster_->server(1).Refused("wrong_shard"), refused + 1);
  EXPECT_EQ(cluster_->Checksum(table.id()).first, 0u);
  EXPECT_EQ(cluster_->LsnSum(), lsns);

  // One address for each shard touched.
  std::map<uint32_t, std::string> address;
  for (const v1::Redirect& redirect : answer.redirects()) {
    EXPECT_TRUE(address.emplace(redirect.shard(), redirect.address()).second);
  }
  std::map<std::string, std::vector<uint64_t>> keys_of;
  std::set<uint32_t> shards;
  for (const uint64_t key : keys) {
    const uint32_t shard = ShardOf(table.id(), key, kShards);
    shards.insert(shard);
    keys_of[address[shard]].push_back(key);
  }
  EXPECT_EQ(address.size(), shards.size());
  EXPECT_EQ(keys_of.size(), 3u);

  for (const auto& entry : keys_of) {
    v1::Request part;
    *part.add_push() = SimpleSection(
        table.id(), entry.second, std::vector<float>(entry.second.size(), 3));
    *part.add_pull() = SimpleSection(table.id(), entry.second);
    auto done = At(entry.first).PushPull(part);
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->push(0).code(), 0u) << done->push(0).message();
    EXPECT_EQ(Floats(done->pull(0).values()),
              std::vector<float>(entry.second.size(), -3));
  }
  EXPECT_EQ(cluster_->Checksum(table.id()).first, 300u);
}

TEST_F(SimpleClientTest, ANamedShardOfAnotherServerIsAborted) {
  const v1::Table table = Create("elsewhere", 1);
  const uint32_t shard = ShardOf(table.id(), 5, kShards);
  const std::string home = AddressOf(shard);
  v1::Request request;
  *request.add_push() = SimpleSection(table.id(), {5}, {1});
  request.mutable_push(0)->set_shard(shard);
  for (int i = 0; i < cluster_->servers(); ++i) {
    auto reply = cluster_->server(i).Push(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    const bool here = cluster_->server(i).address() == home;
    EXPECT_EQ(reply->push(0).code(),
              here ? 0u : static_cast<uint32_t>(Code::kAborted));
    EXPECT_EQ(reply->push(0).reason(),
              here ? 0u : uint32_t{v1::REASON_WRONG_SHARD});
  }
  EXPECT_EQ(cluster_->Checksum(table.id()).first, 1u);
}

TEST_F(SimpleClientTest, ASessionNeedsItsShardNamed) {
  const v1::Table table = Create("unnamed", 1);
  v1::Request request;
  *request.add_push() = SimpleSection(table.id(), {5}, {1});
  request.mutable_push(0)->set_session(77);
  request.mutable_push(0)->set_seq(1);
  auto reply = At(AddressOf(ShardOf(table.id(), 5, kShards))).Push(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->push(0).reason(), uint32_t{v1::REASON_UNSUPPORTED});
  EXPECT_EQ(cluster_->Checksum(table.id()).first, 0u);
}

TEST_F(SimpleClientTest, TheSameNumberAgainIsAnsweredNotApplied) {
  const v1::Table table = Create("twice", 1);
  auto session = cluster_->coordinator().OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  const uint32_t shard = ShardOf(table.id(), 5, kShards);
  const std::string address = AddressOf(shard);
  const Peer& home = At(address);
  v1::Request request;
  *request.add_push() = SimpleSection(table.id(), {5}, {1});
  request.mutable_push(0)->set_shard(shard);
  request.mutable_push(0)->set_session(session->session());
  request.mutable_push(0)->set_session_epoch(session->session_epoch());
  request.mutable_push(0)->set_seq(1);
  *request.add_pull() = SimpleSection(table.id(), {5});
  auto first = home.PushPull(request);
  auto second = home.PushPull(request);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(second->push(0).code(), 0u);
  EXPECT_EQ(second->push(0).lsn(), first->push(0).lsn());
  EXPECT_EQ(second->push(0).outcome(), uint32_t{v1::OUTCOME_APPLIED});
  EXPECT_EQ(Floats(second->pull(0).values()), std::vector<float>{-1});
}

// ---- Encodings --------------------------------------------------------------

// One field of a section: its bytes on the wire.
using Fields = std::vector<std::string>;

Fields Split(const v1::Section& section) {
  Fields fields;
  const auto* reflection = v1::Section::GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> present;
  reflection->ListFields(section, &present);
  for (const auto* field : present) {
    v1::Section one = section;
    for (const auto* other : present) {
      if (other != field) reflection->ClearField(&one, other);
    }
    fields.push_back(one.SerializeAsString());
  }
  return fields;
}

// Any order of fields, unknown ones between them, and earlier values that a
// later one overrides mean the same as the plain message.
TEST_F(SimpleClientTest, EveryValidEncodingMeansTheSame) {
  const v1::Table table = Create("odd", 2);
  const std::string address = AddressOf(ShardOf(table.id(), 1, kShards));
  const Peer& home = At(address);
  BitGen gen(7);
  for (int i = 1; i <= 100; ++i) {
    v1::Section section = SimpleSection(table.id(), {1}, {1, 2});
    section.set_shard(ShardOf(table.id(), 1, kShards));
    section.set_clock(3);
    section.set_examples(4);
    Fields fields = Split(section);
    for (size_t f = fields.size() - 1; f > 0; --f) {
      std::swap(fields[f], fields[gen.Below(f + 1)]);
    }
    std::string bytes;
    if (gen.Below(2) == 0) {  // overridden
      bytes += SimpleSection(999, {9, 9}, {9}).SerializeAsString();
    }
    for (const std::string& field : fields) {
      if (gen.Below(3) == 0) bytes += std::string("\xfa\x3f\x02hi", 5);
      bytes += field;
    }
    std::string request("\x32", 1);
    request += static_cast<char>(bytes.size() | 0x80);
    request += static_cast<char>(bytes.size() >> 7);
    auto raw = home.Raw("/paramo.v1.Data/Push", request + bytes);
    ASSERT_TRUE(raw.ok()) << raw.status();
    v1::Reply reply;
    ASSERT_TRUE(reply.ParseFromString(*raw));
    ASSERT_EQ(reply.push(0).code(), 0u) << reply.push(0).message();
    v1::Request look;
    *look.add_pull() = SimpleSection(table.id(), {1});
    auto rows = home.Pull(look);
    ASSERT_TRUE(rows.ok()) << rows.status();
    ASSERT_EQ(Floats(rows->pull(0).values()),
              (std::vector<float>{-1.0f * i, -2.0f * i}));
  }
}

// ---- Hello ------------------------------------------------------------------

v1::Request Hello(uint32_t min, uint32_t max, uint64_t cluster = 0) {
  v1::Request request;
  request.mutable_hello()->set_protocol_min(min);
  request.mutable_hello()->set_protocol_max(max);
  request.mutable_hello()->set_cluster_id(cluster);
  return request;
}

TEST_F(SimpleClientTest, AStreamStartsWithAHello) {
  auto state = cluster_->coordinator().State();
  ASSERT_TRUE(state.ok()) << state.status();
  v1::Request pull;
  pull.set_id(9);
  *pull.add_pull() = SimpleSection(999, {1});
  for (const uint64_t cluster : {uint64_t{0}, state->cluster_id()}) {
    auto [replies, status] =
        cluster_->server(0).Stream({Hello(1, 99, cluster), pull});
    EXPECT_TRUE(status.ok()) << status;
    ASSERT_EQ(replies.size(), 2u);
    EXPECT_EQ(replies[0].hello().cluster_id(), state->cluster_id());
    EXPECT_EQ(replies[0].hello().cluster_incarnation(),
              state->cluster_incarnation());
    EXPECT_GT(replies[0].hello().server_id(), 0u);
    EXPECT_NE(replies[0].hello().server_incarnation(), 0u);
    EXPECT_NE(replies[0].hello().build(), "");
    EXPECT_EQ(replies[1].id(), 9u);
    EXPECT_EQ(replies[1].pull(0).code(),
              static_cast<uint32_t>(Code::kNotFound));
  }
}

TEST_F(SimpleClientTest, AWrongOrMissingHelloEndsTheStream) {
  v1::Request pull;
  pull.set_id(9);
  *pull.add_pull() = SimpleSection(999, {1});
  struct Case {
    v1::Request first;
    Code code;
    const char* reason;
  };
  v1::Request other = Hello(1, 1);
  other.mutable_hello()->set_cluster_incarnation(12345);
  for (const Case& c : std::vector<Case>{
           {pull, Code::kInvalidArgument, "malformed"},
           {v1::Request(), Code::kInvalidArgument, "malformed"},
           {Hello(2, 3), Code::kFailedPrecondition, "protocol_version"},
           {Hello(0, 0), Code::kFailedPrecondition, "protocol_version"},
           {Hello(1, 1, 12345), Code::kFailedPrecondition, "wrong_cluster"},
           {other, Code::kFailedPrecondition, "wrong_cluster"}}) {
    const double before = cluster_->server(0).Refused(c.reason);
    auto [replies, status] = cluster_->server(0).Stream({c.first, pull});
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_EQ(replies.size(), 0u);
    EXPECT_EQ(cluster_->server(0).Refused(c.reason), before + 1);
  }
}

// 300 bytes of keys ask for 64 addresses: a request of 3 MiB would be answered
// by one of a hundred.
TEST_F(SimpleClientTest, RedirectsOfOneAnswerAreBounded) {
  const v1::Table table = Create("many", 1);
  std::vector<uint64_t> keys;  // one of each shard
  std::set<uint32_t> shards;
  for (uint64_t key = 0; shards.size() < kShards; ++key) {
    if (shards.insert(ShardOf(table.id(), key, kShards)).second) {
      keys.push_back(key);
    }
  }
  const size_t most = kRedirectsMax / kShards;
  v1::Request request;
  for (size_t i = 0; i < most + 2; ++i) {
    *request.add_pull() = SimpleSection(table.id(), keys);
  }
  auto reply = cluster_->server(0).Pull(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  for (size_t i = 0; i < most + 2; ++i) {
    const v1::SectionReply& answer = reply->pull(static_cast<int>(i));
    EXPECT_EQ(answer.reason(), uint32_t{v1::REASON_WRONG_SHARD});
    EXPECT_EQ(answer.redirects_size(), i < most ? int{kShards} : 0) << i;
  }
}

TEST_F(SimpleClientTest, ARequestForAnotherClusterIsRefused) {
  v1::Request request;
  request.set_cluster(12345);
  *request.add_pull() = SimpleSection(999, {1});
  const double before = cluster_->server(0).Refused("wrong_cluster");
  EXPECT_EQ(cluster_->server(0).Pull(request).status().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(cluster_->server(0).Refused("wrong_cluster"), before + 1);
}

}  // namespace
}  // namespace paramo::test
