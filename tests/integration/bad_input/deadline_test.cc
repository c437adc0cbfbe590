// Peers that set no deadline, one that has passed, that vanish, or that never
// read (W7).
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "paramo/v1/control.pb.h"
#include "paramo/v1/data.grpc.pb.h"
#include "tests/integration/bad_input/bad_input_testing.h"
#include "tests/integration/bad_input/http2.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo::test {
namespace {

// A stream by generated code, whose two directions a test drives separately.
class RawStream {
 public:
  explicit RawStream(const std::string& address)
      : stub_(v1::Data::NewStub(grpc::CreateChannel(
            address, grpc::InsecureChannelCredentials()))),
        stream_(stub_->Stream(&context_)) {
    v1::Request hello;
    hello.mutable_hello()->set_protocol_min(1);
    hello.mutable_hello()->set_protocol_max(1);
    v1::Reply reply;
    EXPECT_TRUE(stream_->Write(hello) && stream_->Read(&reply));
    EXPECT_TRUE(reply.has_hello());
  }
  bool Write(const v1::Request& request) { return stream_->Write(request); }
  bool Read(v1::Reply* reply) { return stream_->Read(reply); }
  void Vanish() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;  // no deadline
  std::unique_ptr<v1::Data::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::Request, v1::Reply>> stream_;
};

class DeadlineTest : public BadInputTest {
 protected:
  // A push that must wait: number `seq` of a session whose first is missing.
  v1::Request HeldPush(uint64_t seq, uint32_t deadline_ms) {
    if (session_.session() == 0) {
      auto opened = coordinator().OpenSession();
      EXPECT_TRUE(opened.ok()) << opened.status();
      session_ = *opened;
    }
    v1::Request request;
    request.set_id(seq);
    request.set_deadline_ms(deadline_ms);
    v1::Section& section = *request.add_push();
    section = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
    section.set_shard(ShardOfKeyOne());
    section.set_session(session_.session());
    section.set_session_epoch(session_.session_epoch());
    section.set_seq(seq);
    return request;
  }

  // Servers say which; the routing hash is not what is tested here.
  static uint32_t ShardOfKeyOne() {
    v1::Request request;
    *request.add_pull() = SimpleSection(victim_.id(), {1});
    auto reply = server().Pull(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->pull(0).shard() : 0;
  }

  static double Streams() { return server().Metric("paramo_streams"); }

  v1::OpenSessionReply session_;
};

TEST_F(DeadlineTest, W7_MissingDeadlineIsTheServersDefault) {
  RawStream stream(server().address());
  const double refused = server().Refused("deadline");
  const absl::Time start = absl::Now();
  ASSERT_TRUE(stream.Write(HeldPush(2, 0)));
  v1::Reply reply;
  ASSERT_TRUE(stream.Read(&reply));
  const absl::Duration took = absl::Now() - start;
  EXPECT_GT(took, absl::Milliseconds(kDeadlineDefaultMs) - absl::Seconds(1));
  EXPECT_LT(took, absl::Milliseconds(kDeadlineDefaultMs) + absl::Seconds(5));
  EXPECT_EQ(reply.push(0).code(), 4u) << reply.push(0).message();
  EXPECT_EQ(server().Refused("deadline"), refused + 1);
  ExpectUnharmed();
}

TEST_F(DeadlineTest, W7_AWaitEndsAtItsDeadline) {
  RawStream stream(server().address());
  const double refused = server().Refused("deadline");
  ASSERT_TRUE(stream.Write(HeldPush(2, 1)));
  v1::Reply reply;
  ASSERT_TRUE(stream.Read(&reply));
  EXPECT_EQ(reply.push(0).code(), 4u);
  EXPECT_EQ(reply.push(0).reason(),
            static_cast<uint32_t>(v1::REASON_DEADLINE));
  EXPECT_EQ(reply.push(0).outcome(), static_cast<uint32_t>(v1::OUTCOME_NONE));
  EXPECT_EQ(server().Refused("deadline"), refused + 1);
  EXPECT_EQ(server().Metric("paramo_held_pushes"), 0);
  ExpectUnharmed();
}

// gRPC may end such a call before the server sees it, so there is no count.
TEST_F(DeadlineTest, W7_PassedDeadlineDoesNothing) {
  v1::Request push;
  *push.add_push() = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
  RawSocket peer(port());
  peer.Send(Http2Call("/paramo.v1.Data/Push",
                      Http2Header("grpc-timeout", "0n")) +
            Http2Frame(kDataFrame, kEndStreamFlag, 1,
                       GrpcMessage(push.SerializeAsString())));
  std::string received;
  peer.ClosedWithin(absl::Milliseconds(500), &received);
  EXPECT_NE(received, "");
  ExpectUnharmed();
}

TEST_F(DeadlineTest, W7_VanishedClientLeavesNothingBehind) {
  {
    RawStream stream(server().address());
    for (uint64_t seq = 2; seq <= kSessionWindow; ++seq) {
      ASSERT_TRUE(stream.Write(HeldPush(seq, 1500)));
    }
    EXPECT_TRUE(WaitUntil([] {
      return server().Metric("paramo_held_pushes") == kSessionWindow - 1;
    }));
    EXPECT_EQ(Streams(), 1);
    stream.Vanish();
  }
  EXPECT_TRUE(WaitUntil([] { return Streams() == 0; }));
  EXPECT_TRUE(WaitUntil([] {
    return server().Metric("paramo_held_pushes") == 0 &&
           server().Metric("paramo_requests_in_flight") == 0 &&
           server().Metric("paramo_held_bytes") == 0;
  }));
  ExpectUnharmed();
}

// 1000 answers of 1 MiB each, of which the client reads not one.
TEST_F(DeadlineTest, W7_ClientThatNeverReadsIsBounded) {
  const v1::Table wide = Create(CountingTable("wide", 1024));
  SetUp();  // the new table is a record of its own
  const double before = server().Metric("paramo_sent_bytes_total");
  auto sent = [&] {
    return server().Metric("paramo_sent_bytes_total") - before;
  };
  RawStream stream(server().address());
  std::atomic<bool> written{false};
  std::thread writer([&] {
    v1::Request request;
    *request.add_pull() =
        SimpleSection(wide.id(), std::vector<uint64_t>(256, 9));
    for (uint64_t id = 1; id <= 1000; ++id) {
      request.set_id(id);
      if (!stream.Write(request)) break;
    }
    written = true;
  });
  // It goes on until the answers that wait reach the limit...
  const double limit = kStreamUnsentBytesSoft;
  EXPECT_TRUE(WaitUntil([&] { return sent() >= limit; }));
  // ... and then stops, while others are served as ever.
  for (int i = 0; i < 200; ++i) ExpectServing();
  EXPECT_LT(sent(), limit + 16 * kMiB);
  EXPECT_LT(PeakResidentBytes(pid()), ResidentBytes(pid()) + 64 * kMiB);
  EXPECT_EQ(Streams(), 1);
  stream.Vanish();
  writer.join();
  EXPECT_TRUE(written);
  EXPECT_TRUE(WaitUntil([] { return Streams() == 0; }));
  SetUp();  // what the 200 pushes were is not the question
  ExpectUnharmed();
}

}  // namespace
}  // namespace paramo::test
