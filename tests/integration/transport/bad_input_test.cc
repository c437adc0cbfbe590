// Peers that are broken, lost or hostile (W1, W3, W4): what they get, that
// memory stays bounded, and that others are served meanwhile.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/transport/byte_buffer.h"
#include "paramo/v1/data.grpc.pb.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

class BadInputTest : public ::testing::Test {
 protected:
  BadInputTest() : executor_(1) {
    DataServer::Options options;
    options.handler = Echo;
    server_ = StartServer(std::move(options));
    good_ =
        std::make_unique<DataChannel>(executor_, ChannelTo(server_->port()));
    EXPECT_EQ(EchoOnce(*good_, 1000), absl::OkStatus());
  }
  // The connection that was there before goes on, and a new one is accepted.
  void ExpectStillServing() {
    EXPECT_EQ(EchoOnce(*good_, 1000), absl::OkStatus());
    DataChannel fresh(executor_, ChannelTo(server_->port()));
    EXPECT_EQ(EchoOnce(fresh, 1000), absl::OkStatus());
  }

  std::shared_ptr<grpc::Channel> PlainChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(server_->port()),
        grpc::InsecureChannelCredentials(), arguments);
  }

  grpc::Status UnaryCall(const std::string& method,
                         const grpc::ByteBuffer& message) {
    grpc::GenericStub stub(PlainChannel());
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    auto call = stub.PrepareUnaryCall(&context, method, message, &queue);
    call->StartCall();
    grpc::Status status;
    call->Finish(&reply_, &status, nullptr);
    void* tag;
    bool ok;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return status;
  }

  grpc::ByteBuffer reply_;  // of the last UnaryCall
  std::unique_ptr<DataServer> server_;
  ClientExecutor executor_;
  std::unique_ptr<DataChannel> good_;
};

// ---- What is served beside the data plane -----------------------------------

TEST_F(BadInputTest, HealthFollowsSetServing) {
  // HealthCheckRequest{} gives HealthCheckResponse{status = 1}: SERVING.
  const std::string method = "/grpc.health.v1.Health/Check";
  ASSERT_TRUE(UnaryCall(method, ToByteBuffer({})).ok());
  EXPECT_EQ(ToRope(reply_).Flatten(), "\x08\x01");
  server_->SetServing(false);
  ASSERT_TRUE(UnaryCall(method, ToByteBuffer({})).ok());
  EXPECT_EQ(ToRope(reply_).Flatten(), "\x08\x02");
}

TEST_F(BadInputTest, ReflectionListsTheServicesWhenAskedFor) {
  // ServerReflectionRequest{list_services = ""}
  const std::string method =
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  const std::string list_services("\x3a\x00", 2);
  EXPECT_EQ(
      UnaryCall(method, ToByteBuffer(ToMessage(list_services))).error_code(),
      grpc::StatusCode::UNIMPLEMENTED);
  DataServer::Options options;
  options.handler = Echo;
  options.reflection = true;
  server_ = StartServer(std::move(options));
  ASSERT_TRUE(UnaryCall(method, ToByteBuffer(ToMessage(list_services))).ok());
  EXPECT_THAT(ToRope(reply_).Flatten(), ::testing::HasSubstr("paramo.v1.Data"));
}

// ---- W1: not gRPC at all ----------------------------------------------------

TEST_F(BadInputTest, ForeignProtocolsAreHungUpOn) {
  std::string noise(4096, '\0');
  for (size_t i = 0; i < noise.size(); ++i)
    noise[i] = static_cast<char>(i * 2654435761u >> 13);
  // The first bytes of a TLS 1.2 ClientHello, length claimed, body missing.
  const std::string tls("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  for (const std::string& bytes :
       {noise, tls + std::string(500, 'T'),
        std::string("GET / HTTP/1.1\r\nHost: paramo\r\n\r\n")}) {
    RawSocket peer(server_->port());
    peer.Send(bytes);
    EXPECT_TRUE(peer.ClosedWithin(absl::Seconds(5))) << bytes.substr(0, 16);
    ExpectStillServing();
  }
}

TEST_F(BadInputTest, SilentPeersAreHungUpOnAfterTheHandshakeTimeout) {
  DataServer::Options options;
  options.handler = Echo;
  options.handshake_timeout = absl::Milliseconds(500);
  good_.reset();
  server_ = StartServer(std::move(options));
  good_ = std::make_unique<DataChannel>(executor_, ChannelTo(server_->port()));

  RawSocket mute(server_->port());
  RawSocket preface(server_->port());
  preface.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  RawSocket half_preface(server_->port());
  half_preface.Send("PRI * HT");
  EXPECT_TRUE(mute.ClosedWithin(absl::Seconds(5)));
  EXPECT_TRUE(preface.ClosedWithin(absl::Seconds(5)));
  EXPECT_TRUE(half_preface.ClosedWithin(absl::Seconds(5)));
  ExpectStillServing();
}

// ---- W3: too large, or claiming to be ---------------------------------------

TEST_F(BadInputTest, UnaryMessageAboveTheLimitIsResourceExhausted) {
  auto stub = v1::Data::NewStub(PlainChannel());
  v1::Request request;
  request.add_push()->set_values(
      std::string(kMessageBytesMax + (1 << 20), 'x'));
  grpc::ClientContext context;
  v1::Reply reply;
  EXPECT_EQ(stub->Push(&context, request, &reply).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  ExpectStillServing();
}

TEST_F(BadInputTest, StreamMessageAboveTheLimitIsResourceExhausted) {
  auto stub = v1::Data::NewStub(PlainChannel());
  grpc::ClientContext context;
  auto stream = stub->Stream(&context);
  v1::Request request;
  request.add_push()->set_values(
      std::string(kMessageBytesMax + (1 << 20), 'x'));
  stream->Write(request);
  v1::Reply reply;
  while (stream->Read(&reply)) continue;
  EXPECT_EQ(stream->Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  ExpectStillServing();
  EXPECT_TRUE(WaitUntil([&] { return server_->streams() == 1; }));
}

// An HTTP/2 frame: length 24, type 8, flags 8, stream 32, body.
std::string Frame(uint8_t type, uint8_t flags, uint32_t stream,
                  const std::string& body) {
  std::string frame;
  for (const int shift : {16, 8, 0})
    frame += static_cast<char>(body.size() >> shift);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0})
    frame += static_cast<char>(stream >> shift);
  return frame + body;
}

// A header as HPACK "literal without indexing, new name", no Huffman.
std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

constexpr uint8_t kData = 0, kHeaders = 1, kSettings = 4, kEndHeaders = 4,
                  kEndStream = 1;

// The start of a connection with one open call of `path`.
std::string OpenCall(const std::string& path) {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kSettings, 0, 0, "") +
         Frame(kHeaders, kEndHeaders, 1,
               Header(":method", "POST") + Header(":scheme", "http") +
                   Header(":path", path) + Header(":authority", "x") +
                   Header("content-type", "application/grpc") +
                   Header("te", "trailers"));
}

TEST_F(BadInputTest, ClaimedTwoGigabytesAllocateNothing) {
  const size_t before = ResidentBytes();
  std::vector<std::unique_ptr<RawSocket>> peers;
  for (int i = 0; i < 20; ++i) {
    peers.push_back(std::make_unique<RawSocket>(server_->port()));
    peers.back()->Send(
        OpenCall("/paramo.v1.Data/Stream") +
        Frame(kData, 0, 1,
              absl::StrCat(absl::string_view("\0\x7f\xff\xff\xff", 5),
                           std::string(1000, 'x'))));
  }
  EXPECT_TRUE(WaitUntil([&] { return server_->streams() == 21; }));
  ExpectStillServing();
  EXPECT_LT(ResidentBytes(), before + (size_t{64} << 20));
  peers.clear();
  EXPECT_TRUE(WaitUntil([&] { return server_->streams() == 1; }));
}

// gRPC checks a message's size when all of it has come. What a peer can make
// the server hold until then is bounded for the server as a whole.
class EndlessMessageTest : public BadInputTest,
                           public ::testing::WithParamInterface<size_t> {};

TEST_P(EndlessMessageTest, IsCutOffBeforeItFillsTheMemory) {
  const size_t bytes_max = GetParam();
  DataServer::Options options;
  options.handler = Echo;
  options.receive_bytes_max = bytes_max;
  good_.reset();
  server_ = StartServer(std::move(options));
  good_ = std::make_unique<DataChannel>(executor_, ChannelTo(server_->port()));

  // Half as much again, as the same slice many times: this side holds 1 MB.
  const size_t megabytes = (bytes_max >> 20) * 3 / 2;
  std::vector<grpc::Slice> slices(megabytes,
                                  grpc::Slice(std::string(1 << 20, 'x')));
  const grpc::ByteBuffer message(slices.data(), slices.size());
  const size_t before = ResidentBytes();
  std::atomic<bool> ended{false};
  std::atomic<size_t> most{0};
  std::thread watch([&] {
    while (!ended) {
      most = std::max(most.load(), ResidentBytes());
      absl::SleepFor(absl::Milliseconds(2));
    }
  });
  EXPECT_EQ(UnaryCall("/paramo.v1.Data/Push", message).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  ended = true;
  watch.join();
  if (kFreedIsGivenBack) {
    EXPECT_LT(most, before + bytes_max + (size_t{72} << 20));
  }
  EXPECT_GT(most, before + bytes_max / 2);
  ExpectStillServing();
}

INSTANTIATE_TEST_SUITE_P(
    Limits, EndlessMessageTest,
    ::testing::Values(size_t{128} << 20,
                      DataServer::Options().receive_bytes_max),
    [](const auto& info) { return absl::StrCat(info.param >> 20, "MiB"); });

TEST_F(BadInputTest, TruncatedMessageEndsItsCallOnly) {
  RawSocket peer(server_->port());
  peer.Send(OpenCall("/paramo.v1.Data/Stream"));
  ASSERT_TRUE(WaitUntil([&] { return server_->streams() == 2; }));
  // A message that claims 100 bytes; 10 come, then the stream ends.
  peer.Send(Frame(kData, kEndStream, 1,
                  std::string("\0\0\0\0\x64", 5) + std::string(10, 'x')));
  EXPECT_TRUE(WaitUntil([&] { return server_->streams() == 1; }));
  ExpectStillServing();
}

TEST_F(BadInputTest, TruncatedFrameEndsItsConnectionOnly) {
  {
    RawSocket peer(server_->port());
    peer.Send(OpenCall("/paramo.v1.Data/Stream"));
    ASSERT_TRUE(WaitUntil([&] { return server_->streams() == 2; }));
    peer.Send(Frame(kData, 0, 1, std::string(50, 'x')).substr(0, 20));
  }
  EXPECT_TRUE(WaitUntil([&] { return server_->streams() == 1; }));
  ExpectStillServing();
}

TEST_F(BadInputTest, UnknownMethodIsUnimplemented) {
  EXPECT_EQ(UnaryCall("/paramo.v1.Data/Drop", ToByteBuffer(ToMessage("x")))
                .error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  ExpectStillServing();
}

// ---- W4: compressed by gRPC -------------------------------------------------

TEST_F(BadInputTest, CompressedMessagesAreRefusedNotInflated) {
  const size_t before = ResidentBytes();
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    // 48 MB of one byte is about 50 KB of gzip.
    auto stub = v1::Data::NewStub(PlainChannel());
    grpc::ClientContext unary;
    unary.set_compression_algorithm(algorithm);
    v1::Request request;
    request.add_push()->set_values(std::string(48 << 20, 'x'));
    v1::Reply reply;
    const grpc::Status status = stub->Push(&unary, request, &reply);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED)
        << status.error_message();

    grpc::ClientContext streaming;
    streaming.set_compression_algorithm(algorithm);
    auto stream = stub->Stream(&streaming);
    stream->Write(request);
    while (stream->Read(&reply)) continue;
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
  }
  ExpectStillServing();
  // This process holds the client's 48 MB too, for a while.
  if (kFreedIsGivenBack) {
    EXPECT_LT(ResidentBytes(), before + (size_t{256} << 20));
  }
}

}  // namespace
}  // namespace paramo
