// What no server of this cluster would say to another's replicas, on a stream
// as servers have it (R3): refused and counted, and nothing changes.
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/routing/routing.h"
#include "paramo/v1/data.grpc.pb.h"
#include "server/replication/message.h"
#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {
namespace {

using Code = absl::StatusCode;

constexpr uint64_t kKey = 1;

// A Replicate stream whose other end is a server.
class PeerStream {
 public:
  PeerStream(const std::string& address, uint64_t cluster)
      : stub_(v1::Data::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
    stream_ = stub_->Replicate(&context_);
    v1::PeerRequest hello;
    hello.mutable_hello()->set_protocol_min(1);
    hello.mutable_hello()->set_protocol_max(1);
    hello.mutable_hello()->set_cluster_id(cluster);
    v1::Reply reply;
    stream_->Write(hello);
    stream_->Read(&reply);
  }
  // OK: it was taken. Otherwise how the stream ended.
  absl::Status Send(const v1::PeerRequest& request) {
    v1::Reply reply;
    if (stream_->Write(request) && stream_->Read(&reply)) {
      EXPECT_EQ(reply.id(), request.id());
      EXPECT_EQ(reply.code(), 0u);
      return absl::OkStatus();
    }
    const grpc::Status status = stream_->Finish();
    return absl::Status(static_cast<Code>(status.error_code()),
                        status.error_message());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::Data::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PeerRequest, v1::Reply>> stream_;
};

// Three servers; a shard with a primary, a backup, and a server without it.
class ReplicatedShard {
 public:
  ReplicatedShard() : cluster_({.servers = 3, .replicas = 2, .shards = 8}) {
    table_ = *cluster_.coordinator().CreateTable(CountingTable("t", 1));
    id_ = ShardOf(table_.id(), kKey, 8);
    EXPECT_TRUE(WaitUntil([this] {
      state_ = *cluster_.coordinator().State();
      return std::all_of(
          state_.shards().begin(), state_.shards().end(),
          [](const v1::Shard& shard) { return shard.in_sync_size() == 2; });
    }));
    const v1::Shard& shard = state_.shards(id_);
    for (const v1::Server& server : state_.servers()) {
      const bool in_sync = server.id() == shard.in_sync(0).server() ||
                           server.id() == shard.in_sync(1).server();
      (server.id() == shard.primary() ? primary_
       : in_sync                      ? backup_
                                      : stranger_) = server;
    }
    // A server that looked dead for a moment hears of the table later.
    EXPECT_TRUE(WaitUntil([this] { return Push().ok(); }));
  }

  TestCluster& cluster() { return cluster_; }
  const v1::Server& primary() const { return primary_; }
  const v1::Server& backup() const { return backup_; }
  const v1::Server& stranger() const { return stranger_; }
  const v1::ClusterState& state() const { return state_; }
  v1::Shard Now() {
    return cluster_.coordinator().State()->shards(static_cast<int>(id_));
  }
  int IndexOf(const v1::Server& server) {
    int i = 0;
    while (cluster_.server(i).address() != server.address()) ++i;
    return i;
  }
  const Peer& At(const v1::Server& server) {
    return cluster_.server(IndexOf(server));
  }
  uint64_t Last() {
    const v1::StatsReply stats = At(primary_).Stats();
    for (const v1::ShardStats& shard : stats.shards()) {
      if (shard.shard() == id_) return shard.lsn();
    }
    return 0;
  }

  absl::StatusOr<v1::SectionReply> Push() {
    v1::Request request;
    *request.add_push() = SimpleSection(table_.id(), {kKey}, {1});
    auto reply = At(primary_).Push(request);
    if (!reply.ok()) return reply.status();
    const v1::SectionReply& answer = reply->push(0);
    if (answer.code() == 0) return answer;
    return absl::Status(static_cast<Code>(answer.code()), answer.message());
  }
  // As one server has it; every push adds -1.
  float Row(const Peer& at) {
    v1::Request request;
    *request.add_pull() = SimpleSection(table_.id(), {kKey});
    auto reply = at.Pull(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (!reply.ok()) return 0;
    EXPECT_EQ(reply->pull(0).code(), 0u) << reply->pull(0).message();
    const std::vector<float> row = Floats(reply->pull(0).values());
    return row.empty() ? 0 : row[0];
  }
  std::pair<uint64_t, uint64_t> Checksum() {
    return cluster_.Checksum(table_.id());
  }

  // What the primary would say now, without records.
  PeerMessage Heartbeat() {
    const v1::Shard& shard = state_.shards(static_cast<int>(id_));
    PeerMessage message;
    message.shard = id_;
    message.history = shard.history();
    message.epoch = shard.epoch();
    message.term = shard.term();
    return message;
  }
  // The shard's first record: the takeover's, which has no content.
  SentRecord FirstRecord() {
    SentRecord sent;
    sent.record.header.kind = static_cast<uint16_t>(RecordKind::kNoOp);
    sent.record.header.shard = id_;
    sent.record.header.epoch = state_.shards(static_cast<int>(id_)).term();
    sent.record.header.lsn = 1;
    sent.record.header.history = state_.shards(static_cast<int>(id_)).history();
    SealRecord(sent.record.header, {});
    return sent;
  }
  v1::PeerRequest From(const v1::Server& from, const v1::Server& to,
                       const PeerMessage& message) {
    v1::PeerRequest request;
    request.set_id(1);
    request.set_cluster(state_.cluster_id());
    request.set_from_server(from.id());
    request.set_from_incarnation(from.incarnation());
    request.set_to_incarnation(to.incarnation());
    request.set_messages(EncodePeerMessages({&message, 1}).Flatten());
    return request;
  }
  absl::Status Send(const v1::Server& to, const v1::PeerRequest& request) {
    return PeerStream(to.address(), state_.cluster_id()).Send(request);
  }

 private:
  TestCluster cluster_;
  v1::Table table_;
  ShardId id_ = 0;
  v1::ClusterState state_;
  v1::Server primary_, backup_, stranger_;
};

class ReplicationTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { shard_ = std::make_unique<ReplicatedShard>(); }
  static void TearDownTestSuite() { shard_.reset(); }
  static ReplicatedShard& shard() { return *shard_; }

  void SetUp() override {
    sum_ = shard().Checksum();
    lsns_ = shard().cluster().LsnSum();
  }
  // Nothing changed anywhere, and the shard has both its replicas still.
  void TearDown() override {
    EXPECT_EQ(shard().Checksum(), sum_);
    EXPECT_EQ(shard().cluster().LsnSum(), lsns_);
    EXPECT_EQ(shard().Now().SerializeAsString(),
              shard()
                  .state()
                  .shards(static_cast<int>(shard().Heartbeat().shard))
                  .SerializeAsString());
    auto pushed = shard().Push();
    ASSERT_TRUE(pushed.ok()) << pushed.status();
    EXPECT_EQ(pushed->replicas(), 2u);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(shard().cluster().Running(i));
  }

  static double Refused(const v1::Server& at, const std::string& reason) {
    return shard().At(at).Metric("paramo_peer_refused_total",
                                 absl::StrCat("{reason=\"", reason, "\"}"));
  }
  static void ExpectRefused(const v1::Server& from, const v1::Server& to,
                            const PeerMessage& message,
                            const std::string& reason) {
    const double before = Refused(to, reason);
    const absl::Status sent = shard().Send(to, shard().From(from, to, message));
    EXPECT_TRUE(sent.ok()) << sent;
    EXPECT_TRUE(WaitUntil([&] { return Refused(to, reason) == before + 1; }))
        << reason << ": " << before << ", then " << Refused(to, reason);
  }
  static void ExpectFromPrimaryRefused(const PeerMessage& message,
                                       const std::string& reason) {
    ExpectRefused(shard().primary(), shard().backup(), message, reason);
  }

 private:
  static std::unique_ptr<ReplicatedShard> shard_;
  std::pair<uint64_t, uint64_t> sum_;
  uint64_t lsns_ = 0;
};
std::unique_ptr<ReplicatedShard> ReplicationTest::shard_;

TEST_F(ReplicationTest, R3_ALowerEpochIsRefused) {
  PeerMessage message = shard().Heartbeat();
  --message.epoch;
  --message.term;
  ExpectFromPrimaryRefused(message, "other_term");
}

// The coordinator's word counts, never a peer's.
TEST_F(ReplicationTest, R2_AFutureEpochIsNotAdoptedFromAPeer) {
  PeerMessage message = shard().Heartbeat();
  for (const Epoch ahead : {Epoch{1}, Epoch{1} << 62}) {
    message.epoch = message.term = shard().Heartbeat().epoch + ahead;
    ExpectFromPrimaryRefused(message, "other_term");
    ExpectRefused(shard().stranger(), shard().primary(), message, "other_term");
  }
}

TEST_F(ReplicationTest, R3_WhoIsNotItsPrimaryIsNotHeard) {
  ExpectRefused(shard().stranger(), shard().backup(), shard().Heartbeat(),
                "other_term");
  v1::Server earlier = shard().primary();
  earlier.set_incarnation(earlier.incarnation() + 1);
  ExpectRefused(earlier, shard().backup(), shard().Heartbeat(), "other_term");
}

TEST_F(ReplicationTest, R3_AGapIsRefused) {
  PeerMessage message = shard().Heartbeat();
  message.position = shard().Last() + 100;
  ExpectFromPrimaryRefused(message, "gap");
}

TEST_F(ReplicationTest, R3_AnEqualOverlapChangesNothing) {
  PeerMessage message = shard().Heartbeat();
  message.records = {shard().FirstRecord()};
  const absl::Status sent =
      shard().Send(shard().backup(),
                   shard().From(shard().primary(), shard().backup(), message));
  EXPECT_TRUE(sent.ok()) << sent;
  // Behind it on the same strand, so that it is through when this is counted.
  PeerMessage gap = shard().Heartbeat();
  gap.position = shard().Last() + 100;
  const double diverged = Refused(shard().backup(), "diverged");
  ExpectFromPrimaryRefused(gap, "gap");
  EXPECT_EQ(Refused(shard().backup(), "diverged"), diverged);
}

TEST_F(ReplicationTest, R3_UnchainedRecordsAreRefused) {
  const auto expect_refused = [](auto change) {
    PeerMessage message = shard().Heartbeat();
    message.position = shard().Last();
    message.position_crc = 77;
    message.records = {shard().FirstRecord()};
    RecordHeader& header = message.records[0].record.header;
    header.lsn = message.position + 1;
    header.previous_crc = 77;
    change(header);
    SealRecord(header, {});
    ExpectFromPrimaryRefused(message, "malformed");
  };
  expect_refused([](RecordHeader& header) { header.previous_crc = 78; });
  expect_refused([](RecordHeader& header) { ++header.lsn; });
  expect_refused([](RecordHeader& header) { header.lsn = 0; });
  expect_refused([](RecordHeader& header) { header.epoch += 1000; });
  expect_refused([](RecordHeader& header) { header.shard += 1; });
  expect_refused([](RecordHeader& header) { ++header.history; });
}

TEST_F(ReplicationTest, R3_AShardNotHeldIsRefused) {
  PeerMessage message = shard().Heartbeat();
  ExpectRefused(shard().primary(), shard().stranger(), message, "not_held");
  ++message.history;
  ExpectFromPrimaryRefused(message, "not_held");
  for (const ShardId id : {ShardId{8}, ~ShardId{0}}) {
    message.shard = id;
    ExpectFromPrimaryRefused(message, "no_such_shard");
  }
  message = shard().Heartbeat();  // TearDown's shard
}

TEST_F(ReplicationTest, R3_AnotherLifeOfTheServerIsNotMeant) {
  v1::Server earlier = shard().backup();
  earlier.set_incarnation(earlier.incarnation() + 1);
  const double before = Refused(shard().backup(), "other_incarnation");
  const absl::Status sent = shard().Send(
      shard().backup(),
      shard().From(shard().primary(), earlier, shard().Heartbeat()));
  EXPECT_TRUE(sent.ok()) << sent;
  EXPECT_EQ(Refused(shard().backup(), "other_incarnation"), before + 1);
}

TEST_F(ReplicationTest, R3_AcknowledgementsOfNothingDoNotCount) {
  PeerMessage ack = shard().Heartbeat();
  ack.kind = PeerMessage::Kind::kAck;
  ack.position = shard().Last() + 1;
  ExpectRefused(shard().backup(), shard().primary(), ack, "malformed");
  ack.position = shard().Last();
  ExpectRefused(shard().stranger(), shard().primary(), ack, "other_term");
}

TEST_F(ReplicationTest, R3_WhatCannotBeReadEndsTheStream) {
  const v1::PeerRequest good =
      shard().From(shard().primary(), shard().backup(), shard().Heartbeat());
  struct Case {
    std::string reason;
    Code code;
    std::function<void(v1::PeerRequest&)> damage;
  };
  for (const Case& c : std::vector<Case>{
           {"damaged", Code::kDataLoss,
            [](v1::PeerRequest& request) {
              (*request.mutable_messages())[40] ^= 1;
            }},
           {"malformed", Code::kInvalidArgument,
            [](v1::PeerRequest& request) {
              request.mutable_messages()->resize(50);
            }},
           {"malformed", Code::kInvalidArgument,
            [](v1::PeerRequest& request) { request.clear_from_server(); }},
           {"other_cluster", Code::kFailedPrecondition,
            [](v1::PeerRequest& request) {
              request.set_cluster(request.cluster() + 1);
            }},
       }) {
    v1::PeerRequest bad = good;
    c.damage(bad);
    const double before = Refused(shard().backup(), c.reason);
    const absl::Status status = shard().Send(shard().backup(), bad);
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_EQ(Refused(shard().backup(), c.reason), before + 1);
  }
}

TEST_F(ReplicationTest, R2_AReplicaOfAnotherClusterIsNotHeard) {
  PeerStream stream(shard().backup().address(),
                    shard().state().cluster_id() + 1);
  const absl::Status status = stream.Send(
      shard().From(shard().primary(), shard().backup(), shard().Heartbeat()));
  EXPECT_EQ(status.code(), Code::kFailedPrecondition) << status;
}

// Another record where a committed one is: somebody's data is wrong. The
// replica stops and says so and takes nothing more; when its server is started
// again it is made anew from those that are well.
TEST(DivergenceTest, R3_DivergenceStopsTheReplicaAndIsNotMendedSilently) {
  ReplicatedShard shard;
  const int backup = shard.IndexOf(shard.backup());
  PeerMessage message = shard.Heartbeat();
  message.records = {shard.FirstRecord()};
  message.records[0].record.header.kind =
      static_cast<uint16_t>(RecordKind::kPush);
  SealRecord(message.records[0].record.header, {});
  const auto sum = shard.Checksum();
  ASSERT_TRUE(shard
                  .Send(shard.backup(),
                        shard.From(shard.primary(), shard.backup(), message))
                  .ok());
  const auto diverged = [&] {
    return shard.At(shard.backup())
        .Metric("paramo_peer_refused_total", "{reason=\"diverged\"}");
  };
  EXPECT_TRUE(WaitUntil([&] { return diverged() == 1; }));
  EXPECT_THAT(shard.cluster().log(backup),
              ::testing::HasSubstr("the primary has another record 1"));
  // It leaves; the third server takes its place, and pushes go on.
  EXPECT_TRUE(WaitUntil([&] {
    const v1::Shard now = shard.Now();
    return now.in_sync_size() == 2 &&
           now.in_sync(0).server() != shard.backup().id() &&
           now.in_sync(1).server() != shard.backup().id();
  })) << shard.Now().ShortDebugString();
  EXPECT_EQ(shard.Checksum(), sum);
  EXPECT_TRUE(shard.Push().ok());
  EXPECT_TRUE(shard.cluster().Running(backup));
  EXPECT_EQ(diverged(), 1);

  // Started again it begins empty, and is as good as any: it is made to lead.
  EXPECT_EQ(shard.cluster().StopServer(backup, SIGTERM), "exit status 0");
  shard.cluster().StartServer(backup);
  EXPECT_THAT(shard.cluster().log(backup),
              ::testing::HasSubstr("it begins empty"));
  const std::vector<std::string> to_coordinator = {
      "--address", shard.cluster().coordinator().address()};
  std::vector<std::string> drain = {"server", "drain",
                                    absl::StrCat(shard.stranger().id())};
  drain.insert(drain.end(), to_coordinator.begin(), to_coordinator.end());
  EXPECT_EQ(RunBinary("paramo", drain).outcome, "exit status 0");
  drain[2] = absl::StrCat(shard.primary().id());
  EXPECT_TRUE(WaitUntil([&] { return shard.Now().in_sync_size() == 2; }));
  RunBinary("paramo", drain);
  EXPECT_TRUE(
      WaitUntil([&] { return shard.Now().primary() == shard.backup().id(); }));
  EXPECT_EQ(shard.Row(shard.cluster().server(backup)), -2);
  shard.cluster().StopServer(backup, SIGKILL);
  shard.cluster().StartServer(backup);
  const std::string log = shard.cluster().log(backup);
  EXPECT_EQ(log.find("it begins empty"), log.rfind("it begins empty"));
}

}  // namespace
}  // namespace paramo::test
