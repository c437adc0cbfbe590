// Peers that are no gRPC client, or a broken one (W1), and messages that gRPC
// itself should not let through (W3, W4), against a server's own port.
#include <grpcpp/grpcpp.h>

#include <algorithm>
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

class ConnectionTest : public BadInputTest {
 protected:
  // Of clients; one more is the coordinator's, which asks whether it answers.
  static double Streams() { return server().Metric("paramo_streams") - 1; }
};

int PortOf(const std::string& address) {
  return std::stoi(address.substr(address.rfind(':') + 1));
}

std::string Noise(size_t bytes) {
  std::string noise(bytes, '\0');
  for (size_t i = 0; i < noise.size(); ++i) {
    noise[i] = static_cast<char>(i * 2654435761u >> 13);
  }
  return noise;
}

// ---- W1 ---------------------------------------------------------------------

// gRPC ends these before a message exists, so no counter of ours sees them.
TEST_F(ConnectionTest, W1_ForeignProtocolsAreHungUpOn) {
  // The first bytes of a TLS 1.2 ClientHello, length claimed, body missing.
  const std::string tls("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  for (const std::string& bytes :
       {Noise(4096), tls + std::string(500, 'T'),
        std::string("GET /metrics HTTP/1.1\r\nHost: paramo\r\n\r\n"),
        std::string("\0\0\0\x05hello", 9)}) {
    RawSocket peer(port());
    peer.Send(bytes);
    EXPECT_TRUE(peer.ClosedWithin(absl::Seconds(5)));
  }
  ExpectUnharmed();
}

TEST_F(ConnectionTest, W1_SilentPeersAreHungUpOnWithinTheHandshakeTimeout) {
  std::vector<std::unique_ptr<RawSocket>> peers;
  for (const std::string& bytes :
       {std::string(), std::string("PRI * HT"), std::string(kHttp2Preface)}) {
    peers.push_back(std::make_unique<RawSocket>(port()));
    peers.back()->Send(bytes);
  }
  const absl::Time end =
      absl::Now() + absl::Milliseconds(kHandshakeTimeoutMs) + absl::Seconds(5);
  for (auto& peer : peers) {
    EXPECT_TRUE(peer->ClosedWithin(end - absl::Now()));
  }
  ExpectUnharmed();
}

// As many connections as one peer may have, from 127.0.0.2: whoever is at
// 127.0.0.1 is served as ever.
void ExpectOnePeerLocksNobodyOut(const Peer& node) {
  const int port = PortOf(node.address());
  const auto refused = [&] {
    return node.Metric("paramo_connections_refused_total",
                       "{reason=\"peer_limit\"}");
  };
  ASSERT_EQ(refused(), 0);
  std::vector<std::unique_ptr<RawSocket>> peers;
  for (size_t i = 0; i < kConnectionsPerPeerMax; ++i) {
    peers.push_back(std::make_unique<RawSocket>(port, "127.0.0.2"));
    peers.back()->Send(kHttp2Preface + Http2Frame(kSettingsFrame, 0, 0, ""));
  }
  for (int i = 0; i < 10; ++i)
    EXPECT_TRUE(RawSocket(port, "127.0.0.2").ClosedWithin(absl::Seconds(5)));
  EXPECT_EQ(refused(), 10);
  for (const auto& peer : peers)
    ASSERT_FALSE(peer->ClosedWithin(absl::Milliseconds(1)));
  EXPECT_TRUE(Peer(node.address()).State().ok());  // over a new connection
}

TEST_F(ConnectionTest, W1_IdleConnectionsOfOnePeerLockNobodyOut) {
  ExpectOnePeerLocksNobodyOut(server());
  ExpectUnharmed(64 * kMiB);
  // They are gone now: the peer may come again.
  EXPECT_TRUE(WaitUntil([] {
    RawSocket again(port(), "127.0.0.2");
    return !again.ClosedWithin(absl::Milliseconds(100));
  }));
}

TEST_F(ConnectionTest, W1_NorDoTheyAtTheCoordinator) {
  ExpectOnePeerLocksNobodyOut(coordinator());
  EXPECT_TRUE(coordinator().OpenSession().ok());
}

TEST_F(ConnectionTest, W1_TheLimitOfOnePeerIsASetting) {
  TestCluster cluster(
      {.servers = 1,
       .server_args = {"--connections-per-peer=20", "--tcp-congestion=reno"}});
  const int port = PortOf(cluster.server(0).address());
  std::vector<std::unique_ptr<RawSocket>> peers;
  for (int i = 0; i < 20; ++i)
    peers.push_back(std::make_unique<RawSocket>(port, "127.0.0.2"));
  EXPECT_TRUE(RawSocket(port, "127.0.0.2").ClosedWithin(absl::Seconds(5)));
  EXPECT_FALSE(peers[19]->ClosedWithin(absl::Milliseconds(1)));
}

TEST_F(ConnectionTest, CongestionControlThatTheKernelLacksEndsTheStart) {
  TempDir dir;
  const Ran ran =
      RunBinary("paramo-coordinator",
                {"--listen=127.0.0.1:0", "--data-dir=" + dir.path() + "/c",
                 "--tcp-congestion=carrier-pigeon"});
  EXPECT_EQ(ran.outcome, "exit status 1");
  EXPECT_THAT(ran.output, ::testing::HasSubstr("carrier-pigeon"));
}

// ---- W2: limits of HTTP/2 ---------------------------------------------------

// gRPC holds a peer to its limits once the peer has acknowledged them.
std::unique_ptr<RawSocket> ConnectAndAcknowledge(int port) {
  auto peer = std::make_unique<RawSocket>(port);
  peer->Send(kHttp2Preface + Http2Frame(kSettingsFrame, 0, 0, ""));
  std::string settings;
  EXPECT_TRUE(WaitUntil([&] {
    EXPECT_FALSE(peer->ClosedWithin(absl::Milliseconds(20), &settings));
    return !settings.empty();
  }));
  peer->Send(Http2Frame(kSettingsFrame, kAckFlag, 0, ""));
  return peer;
}

TEST_F(ConnectionTest, W2_AConnectionHasAsManyStreamsAsTheLimit) {
  auto peer = ConnectAndAcknowledge(port());
  const auto open = [&](int n) {
    peer->Send(Http2Headers("/paramo.v1.Data/Stream", 2 * n + 1, ""));
  };
  for (int n = 0; n < kConcurrentStreamsMax; ++n) open(n);
  EXPECT_TRUE(WaitUntil([] { return Streams() == kConcurrentStreamsMax; }));
  EXPECT_FALSE(peer->ClosedWithin(absl::Milliseconds(50)));
  open(kConcurrentStreamsMax);
  EXPECT_TRUE(peer->ClosedWithin(absl::Seconds(5)));
  EXPECT_TRUE(WaitUntil([] { return Streams() == 0; }));
  ExpectUnharmed(64 * kMiB);
}

TEST_F(ConnectionTest, W2_ACallHasAsManyBytesOfHeadersAsTheLimit) {
  v1::Request push;
  *push.add_push() = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
  // HTTP/2 counts 32 bytes for each header on top of its own. The call's own
  // have about 400.
  const auto push_with_headers = [&](int bytes) {
    std::string headers;
    for (int i = 0; i < bytes / 128; ++i)
      headers +=
          Http2Header(absl::StrCat("x-", 1000 + i), std::string(90, 'v'));
    auto peer = ConnectAndAcknowledge(port());
    peer->Send(Http2Headers("/paramo.v1.Data/Push", 1, headers) +
               Http2Frame(kDataFrame, kEndStreamFlag, 1,
                          GrpcMessage(push.SerializeAsString())));
    std::string answer;
    EXPECT_TRUE(WaitUntil([&] {
      peer->ClosedWithin(absl::Milliseconds(50), &answer);
      return answer.find("grpc-status") != std::string::npos;
    }));
    return answer;
  };
  const std::string refused(
      "grpc-status\x01"
      "8");
  EXPECT_THAT(push_with_headers(kMetadataBytesMax + 512),
              ::testing::HasSubstr(refused));
  ExpectUnharmed();
  const uint64_t lsns = cluster_->LsnSum();
  EXPECT_THAT(push_with_headers(kMetadataBytesMax - 1024),
              ::testing::Not(::testing::HasSubstr(refused)));
  EXPECT_EQ(cluster_->LsnSum(), lsns + 1);
}

// ---- W3 ---------------------------------------------------------------------

// gRPC refuses a message above the limit itself: its status, not our counter.
TEST_F(ConnectionTest, W3_OverlongMessageIsRefused) {
  for (const char* method : {"Push", "Pull", "PushPull"}) {
    const absl::Status status =
        server()
            .Raw(absl::StrCat("/paramo.v1.Data/", method),
                 std::string(kMessageBytesMax + kMiB, 'x'))
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  }
  // One message at a time is held until its end is there.
  ExpectUnharmed(3 * kMessageBytesMax);
}

TEST_F(ConnectionTest, W3_ClaimedTwoGigabytesAllocateNothing) {
  const std::string claim("\0\x7f\xff\xff\xff", 5);
  std::vector<std::unique_ptr<RawSocket>> peers;
  for (int i = 0; i < 20; ++i) {
    peers.push_back(std::make_unique<RawSocket>(port()));
    peers.back()->Send(
        Http2Call("/paramo.v1.Data/Stream") +
        Http2Frame(kDataFrame, 0, 1, claim + std::string(1000, 'x')));
  }
  EXPECT_TRUE(WaitUntil([] { return Streams() == 20; }));
  ExpectUnharmed();
  peers.clear();
  EXPECT_TRUE(WaitUntil([] { return Streams() == 0; }));
}

TEST_F(ConnectionTest, W3_TruncatedMessageAndFrameEndTheirCallOnly) {
  {
    RawSocket peer(port());
    // A message that claims 100 bytes; 10 come, then the stream ends.
    peer.Send(
        Http2Call("/paramo.v1.Data/Push") +
        Http2Frame(kDataFrame, kEndStreamFlag, 1,
                   std::string("\0\0\0\0\x64", 5) + std::string(10, 'x')));
    // A frame that claims more than it holds, then the connection ends.
    peer.Send(Http2Frame(kDataFrame, 0, 3, std::string(50, 'x')).substr(0, 20));
  }
  EXPECT_TRUE(WaitUntil([] { return Streams() == 0; }));
  ExpectUnharmed();
}

// ---- W4 ---------------------------------------------------------------------

class CompressedTest
    : public ConnectionTest,
      public ::testing::WithParamInterface<grpc_compression_algorithm> {};

// 48 MB of one byte are about 50 KB on the wire: nothing may inflate them.
TEST_P(CompressedTest, W4_CompressedMessageIsUnimplemented) {
  auto stub = v1::Data::NewStub(grpc::CreateChannel(
      server().address(), grpc::InsecureChannelCredentials()));
  v1::Request request;
  request.add_push()->set_values(std::string(48 * kMiB, 'x'));
  grpc::ClientContext unary;
  unary.set_compression_algorithm(GetParam());
  v1::Reply reply;
  EXPECT_EQ(stub->Push(&unary, request, &reply).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);

  grpc::ClientContext streaming;
  streaming.set_compression_algorithm(GetParam());
  auto stream = stub->Stream(&streaming);
  stream->Write(request);
  while (stream->Read(&reply)) continue;
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
  ExpectUnharmed(16 * kMiB);
}

INSTANTIATE_TEST_SUITE_P(Both, CompressedTest,
                         ::testing::Values(GRPC_COMPRESS_GZIP,
                                           GRPC_COMPRESS_DEFLATE),
                         [](const auto& info) {
                           return info.param == GRPC_COMPRESS_GZIP ? "Gzip"
                                                                   : "Deflate";
                         });

}  // namespace
}  // namespace paramo::test
