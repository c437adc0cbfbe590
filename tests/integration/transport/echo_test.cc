// The transport when all goes well.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/transport/settings.h"
#include "paramo/v1/admin.grpc.pb.h"
#include "paramo/v1/data.grpc.pb.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

class EchoTest : public ::testing::TestWithParam<size_t> {};

TEST_P(EchoTest, BytesComeBackUnchanged) {
  auto server = StartServer(Echo);
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(EchoOnce(channel, GetParam()), absl::OkStatus());
}

// Less than one slice, one chunk and a bit, many chunks, nearly the limit.
INSTANTIATE_TEST_SUITE_P(Sizes, EchoTest,
                         ::testing::Values(0, 4 << 10, 300 << 10, 4 << 20,
                                           60 << 20));

TEST(Stream, RepliesFindTheirRequestsInAnyOrder) {
  // Holds 16 requests, then answers the last one first.
  Mutex mu;
  std::vector<std::unique_ptr<IncomingCall>> held;
  auto server = StartServer([&](std::unique_ptr<IncomingCall> call) {
    if (call->first()) return AnswerHello(*call);
    std::vector<std::unique_ptr<IncomingCall>> batch;
    {
      MutexLock lock(mu);
      held.push_back(std::move(call));
      if (held.size() < 16) return;
      batch.swap(held);
    }
    while (!batch.empty()) {
      Echo(std::move(batch.back()));
      batch.pop_back();
    }
  });
  ClientExecutor executor(2);
  DataChannel channel(executor, ChannelTo(server->port()));
  std::map<uint64_t, Outcome> outcomes;
  for (int i = 0; i < 64; ++i) {
    const uint64_t id = channel.NextId();
    channel.Send(id, ToMessage(MessageText(id, 1000)), absl::Seconds(20),
                 outcomes[id].Done());
  }
  for (const auto& entry : outcomes) {
    const auto reply = entry.second.Wait();
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(*reply, MessageText(entry.first, 1000));
    EXPECT_EQ(entry.second.count(), 1);
  }
}

TEST(Stream, RepliesMayComeFromAnyThread) {
  std::vector<std::thread> threads;
  Mutex mu;
  auto server = StartServer([&](std::unique_ptr<IncomingCall> call) {
    if (call->first()) return AnswerHello(*call);
    MutexLock lock(mu);
    threads.emplace_back(
        [c = call.release()] { Echo(std::unique_ptr<IncomingCall>(c)); });
  });
  {
    ClientExecutor executor(1);
    DataChannel channel(executor, ChannelTo(server->port()));
    std::vector<Outcome> outcomes(40);
    for (const Outcome& outcome : outcomes) {
      const uint64_t id = channel.NextId();
      channel.Send(id, ToMessage(MessageText(id, 20'000)), absl::Seconds(20),
                   outcome.Done());
    }
    for (const Outcome& outcome : outcomes)
      EXPECT_TRUE(outcome.Wait().ok()) << outcome.Wait().status();
  }
  MutexLock lock(mu);
  for (auto& thread : threads) thread.join();
}

TEST(Stream, RequestsOfOneStreamArriveInOrder) {
  Mutex mu;
  std::vector<std::string> seen;
  auto server = StartServer([&](std::unique_ptr<IncomingCall> call) {
    if (!call->first()) {
      MutexLock lock(mu);
      seen.push_back(call->request().Flatten());
    }
    Echo(std::move(call));
  });
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  std::vector<Outcome> outcomes(500);
  std::vector<std::string> sent;
  for (const Outcome& outcome : outcomes) {
    const uint64_t id = channel.NextId();
    sent.push_back(MessageText(id, id % 100));
    channel.Send(id, ToMessage(sent.back()), absl::Seconds(20), outcome.Done());
  }
  for (const Outcome& outcome : outcomes) ASSERT_TRUE(outcome.Wait().ok());
  MutexLock lock(mu);
  EXPECT_EQ(seen, sent);
}

TEST(Stream, ManyChannelsShareAServer) {
  auto server = StartServer(Echo);
  ClientExecutor executor(2);
  std::vector<std::unique_ptr<DataChannel>> channels;
  for (int i = 0; i < 8; ++i)
    channels.push_back(
        std::make_unique<DataChannel>(executor, ChannelTo(server->port())));
  for (const auto& channel : channels)
    EXPECT_EQ(EchoOnce(*channel, 10'000), absl::OkStatus());
  EXPECT_EQ(server->streams(), 8u);
  channels.clear();
  EXPECT_TRUE(WaitUntil([&] { return server->streams() == 0; }));
}

// What pinned_bytes rests on: gRPC's blocks are no larger than we think.
TEST(Stream, PinnedBytesAreCloseToTheBytesOfALargeMessage) {
  constexpr size_t kBytes = 4 << 20;
  std::atomic<size_t> pinned{0};
  std::atomic<size_t> largest_piece{0};
  auto server = StartServer([&](std::unique_ptr<IncomingCall> call) {
    pinned = call->request().pinned_bytes();
    for (const Piece& piece : call->request().pieces())
      largest_piece = std::max(largest_piece.load(), piece.size);
    Echo(std::move(call));
  });
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(EchoOnce(channel, kBytes), absl::OkStatus());
    EXPECT_GE(pinned, kBytes);
    EXPECT_LE(pinned, 2 * kBytes);
  }
  EXPECT_LE(largest_piece, kReadBlockBytes);
  EXPECT_EQ(EchoOnce(channel, 64), absl::OkStatus());
  EXPECT_EQ(pinned, kReadBlockBytes);
}

class VersionService final : public v1::Admin::CallbackService {
  grpc::ServerUnaryReactor* Stats(grpc::CallbackServerContext* context,
                                  const v1::StatsRequest*,
                                  v1::StatsReply* reply) override {
    reply->set_build("7");
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

// What a coordinator is: callback services, no data plane.
TEST(Services, AreServedWithAndWithoutADataHandler) {
  for (const bool data : {false, true}) {
    VersionService service;
    DataServer::Options options;
    options.services = {&service};
    if (data) options.handler = Echo;
    auto server = StartServer(std::move(options));
    auto stub = v1::Admin::NewStub(
        MakeControlChannel("127.0.0.1:" + std::to_string(server->port())));
    grpc::ClientContext context;
    v1::StatsReply reply;
    EXPECT_TRUE(stub->Stats(&context, {}, &reply).ok());
    EXPECT_EQ(reply.build(), "7");
    // Closed before the service it serves goes.
    server.reset();
  }
}

// Simple clients: generated stubs, unary methods.
TEST(Unary, GeneratedStubReachesEachMethod) {
  Mutex mu;
  std::vector<DataMethod> methods;
  std::vector<absl::Duration> timeouts;
  auto server = StartServer([&](std::unique_ptr<IncomingCall> call) {
    {
      MutexLock lock(mu);
      methods.push_back(call->method());
      timeouts.push_back(call->timeout());
    }
    AnswerHello(*call);
  });
  auto stub = v1::Data::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(server->port()),
                          grpc::InsecureChannelCredentials()));
  v1::Request request;
  request.set_id(9);
  v1::Reply reply;
  grpc::ClientContext push;
  push.set_deadline(std::chrono::system_clock::now() +
                    std::chrono::seconds(20));
  grpc::ClientContext pull;  // no deadline at all
  grpc::ClientContext both;
  EXPECT_TRUE(stub->Push(&push, request, &reply).ok());
  EXPECT_TRUE(stub->Pull(&pull, request, &reply).ok());
  EXPECT_TRUE(stub->PushPull(&both, request, &reply).ok());
  EXPECT_EQ(reply.id(), 9u);

  MutexLock lock(mu);
  EXPECT_EQ(methods,
            (std::vector<DataMethod>{DataMethod::kPush, DataMethod::kPull,
                                     DataMethod::kPushPull}));
  EXPECT_GT(timeouts[0], absl::Seconds(10));
  EXPECT_LT(timeouts[0], absl::Seconds(21));  // gRPC rounds it up on the wire
  EXPECT_EQ(timeouts[1], absl::InfiniteDuration());
}

TEST(Unary, FailIsTheStatusOfTheCall) {
  auto server = StartServer([](std::unique_ptr<IncomingCall> call) {
    call->Fail(absl::InvalidArgumentError("not a Request"));
  });
  auto stub = v1::Data::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(server->port()),
                          grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::Reply reply;
  const grpc::Status status = stub->Push(&context, v1::Request(), &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "not a Request");
}

}  // namespace
}  // namespace paramo
