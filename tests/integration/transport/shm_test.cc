// Requests and replies through shared memory, over real streams; and all that
// makes them go by gRPC instead.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "common/transport/shm_lanes.h"
#include "common/wire/reply.h"
#include "paramo/v1/data.grpc.pb.h"
#include "tests/integration/transport/answering_server.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

class ShmStreamTest : public ::testing::Test {
 protected:
  ShmStreamTest() {
    char name[] = "/tmp/paramo-shm-test-XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    root_ = name;
    ShmLanes::Options lanes;
    lanes.directory = root_ + "/shm";
    lanes.lane_bytes = 16 * kMiB;
    auto started = ShmLanes::Start(lanes, metrics_);
    EXPECT_TRUE(started.ok()) << started.status();
    lanes_ = *std::move(started);
    offered_.shm_directory = lanes_->directory();
    offered_.shm_token = lanes_->token();
    DataServer::Options options;
    options.shm = lanes_.get();
    options.metrics = &metrics_;
    options.handler = [this](std::unique_ptr<IncomingCall> call) {
      if (!call->first()) return handler_(std::move(call));
      call->Reply(wire::WriteReply(wire::PeekId(call->request()), 0,
                                   wire::Reason::kNone, 0, "", &offered_));
    };
    server_ = StartServer(std::move(options));
  }
  ~ShmStreamTest() override {
    server_.reset();
    std::filesystem::remove_all(root_);
  }

  // A channel whose stream is ready.
  std::unique_ptr<DataChannel> Connect(bool shm = true) {
    DataChannel::Options options = ChannelTo(server_->port());
    options.shm = shm;
    auto channel = std::make_unique<DataChannel>(executor_, std::move(options));
    EXPECT_EQ(EchoOnce(*channel, 0), absl::OkStatus());
    return channel;
  }
  static Message Block(DataChannel& channel, const std::string& text,
                       size_t reply_bytes) {
    Message message;
    message.push_back(channel.MakeBlock(text.size(), reply_bytes));
    std::memcpy(message[0].data(), text.data(), text.size());
    return message;
  }
  // As EchoOnce, out of a block of the channel's.
  static void ExpectEcho(DataChannel& channel, size_t bytes,
                         size_t reply_bytes) {
    const uint64_t id = channel.NextId();
    const std::string text = MessageText(id, bytes);
    const Outcome outcome;
    channel.Send(id, Block(channel, text, reply_bytes), absl::Seconds(20),
                 outcome.Done());
    const auto reply = outcome.Wait();
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(*reply, text);
  }
  double Bytes(const std::string& direction) {
    return MetricValue(metrics_, "paramo_shm_bytes_total",
                       "{direction=\"" + direction + "\"}");
  }
  double Lanes() { return MetricValue(metrics_, "paramo_shm_lanes", ""); }

  std::string root_;
  MetricsRegistry metrics_;
  std::unique_ptr<ShmLanes> lanes_;
  wire::Hello offered_;
  DataHandler handler_ = Echo;
  std::unique_ptr<DataServer> server_;
  ClientExecutor executor_{1};
};

TEST_F(ShmStreamTest, BigRequestsAndRepliesAreShared) {
  auto channel = Connect();
  for (int i = 0; i < 100; ++i) ExpectEcho(*channel, kMiB, 2 * kMiB);
  // Id and seal come on top.
  const double bytes = 100 * (9 + kMiB + 5);
  EXPECT_EQ(Bytes("received"), bytes);
  EXPECT_EQ(Bytes("sent"), bytes);
  // As a client counts what goes by gRPC: without seals.
  EXPECT_EQ(channel->shm_stats().bytes, 2 * 100 * (9 + kMiB));
  EXPECT_EQ(channel->shm_stats().full, 0u);
}

TEST_F(ShmStreamTest, SmallOnesAreNot) {
  auto channel = Connect();
  ExpectEcho(*channel, 1000, 1000);
  EXPECT_EQ(Bytes("received"), 0);
}

TEST_F(ShmStreamTest, AReplyThatDoesNotFitComesByGrpc) {
  auto channel = Connect();
  ExpectEcho(*channel, kMiB, kMiB + 13);  // of the 14 that it takes
  EXPECT_EQ(Bytes("sent"), 0);
  EXPECT_EQ(MetricValue(metrics_, "paramo_shm_large_replies_total", ""), 1);
  ExpectEcho(*channel, kMiB, kMiB + 14);
  EXPECT_EQ(Bytes("sent"), kMiB + 14);
  ExpectEcho(*channel, kMiB, 0);  // nobody asked for room
  EXPECT_EQ(MetricValue(metrics_, "paramo_shm_large_replies_total", ""), 1);
}

TEST_F(ShmStreamTest, WhatFindsNoRoomGoesByGrpc) {
  auto channel = Connect();
  ExpectEcho(*channel, kMiB, 16 * kMiB);
  EXPECT_EQ(Bytes("received"), 0);
  EXPECT_EQ(channel->shm_stats().full, 1u);
}

TEST_F(ShmStreamTest, ServersAndClientsWithoutItUseGrpc) {
  ExpectEcho(*Connect(/*shm=*/false), kMiB, kMiB);
  offered_.shm_token = 1;  // of another server
  ExpectEcho(*Connect(), kMiB, kMiB);
  offered_.shm_directory = root_ + "/of-another-machine";
  ExpectEcho(*Connect(), kMiB, kMiB);
  offered_.shm_directory = "";  // an older one
  ExpectEcho(*Connect(), kMiB, kMiB);
  EXPECT_EQ(Bytes("received"), 0);
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
}

// The server may read it, and write the answer to it, for as long as it likes.
TEST_F(ShmStreamTest, ABlockIsNotUsedAgainWhileItsAnswerMayCome) {
  auto channel = Connect();
  std::promise<std::unique_ptr<IncomingCall>> held;
  handler_ = [&held](std::unique_ptr<IncomingCall> call) {
    held.set_value(std::move(call));
  };
  const uint64_t id = channel->NextId();
  Message request =
      Block(*channel, MessageText(id, kMiB), /*reply_bytes=*/2 * kMiB);
  const uint8_t* const at = request[0].data();
  const Outcome late;
  channel->Send(id, std::move(request), absl::Milliseconds(200), late.Done());
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.Wait().status()));
  EXPECT_NE(channel->MakeBlock(kMiB / 2, 0).data(), at);
  EXPECT_EQ(channel->shm_stats().full, 0u);

  Echo(held.get_future().get());
  EXPECT_TRUE(
      WaitUntil([&] { return channel->MakeBlock(kMiB / 2, 0).data() == at; }));
  EXPECT_EQ(late.count(), 1);
}

// It lies in memory that the new stream's server knows nothing of.
TEST_F(ShmStreamTest, ABlockOfAnEarlierStreamGoesByGrpc) {
  auto channel = Connect();
  const uint64_t id = channel->NextId();
  const std::string text = MessageText(id, kMiB);
  Message kept = Block(*channel, text, 2 * kMiB);
  handler_ = [](std::unique_ptr<IncomingCall> call) {
    call->Fail(absl::InternalError("enough"));
  };
  EXPECT_FALSE(EchoOnce(*channel, 0).ok());
  handler_ = Echo;
  EXPECT_TRUE(WaitUntil([&] { return EchoOnce(*channel, 0).ok(); }));

  const Outcome outcome;
  channel->Send(id, std::move(kept), absl::Seconds(20), outcome.Done());
  const auto reply = outcome.Wait();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(*reply, text);
  EXPECT_EQ(Bytes("received"), 0);
  ExpectEcho(*channel, kMiB, kMiB);
  EXPECT_GT(Bytes("received"), 0);
}

TEST_F(ShmStreamTest, ALaneEndsWithItsStream) {
  auto channel = Connect();
  ExpectEcho(*channel, kMiB, kMiB);
  EXPECT_EQ(Lanes(), 1);
  channel.reset();
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
}

// So a client that died leaves nothing behind, whatever it was waiting for.
TEST_F(ShmStreamTest, ALaneEndsWithItsStreamWhoeverHoldsARequest) {
  auto channel = Connect();
  std::promise<std::unique_ptr<IncomingCall>> held;
  handler_ = [&held](std::unique_ptr<IncomingCall> call) {
    held.set_value(std::move(call));
  };
  const uint64_t id = channel->NextId();
  const Outcome outcome;
  channel->Send(id, Block(*channel, MessageText(id, kMiB), 2 * kMiB),
                absl::Seconds(20), outcome.Done());
  std::unique_ptr<IncomingCall> call = held.get_future().get();
  EXPECT_EQ(Lanes(), 1);
  channel.reset();
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
  Echo(std::move(call));  // to nobody
  EXPECT_EQ(Bytes("sent"), 0);
}

// What is kept of it is memory, and neither the lane nor a place among clients.
TEST_F(ShmStreamTest, ALaneThatWasNotUsedEndsWithItsStreamWhoeverKeepsABlock) {
  auto channel = Connect();
  EXPECT_EQ(Lanes(), 1);
  const Message kept = Block(*channel, std::string(kMiB, 'k'), 0);
  channel.reset();
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
  EXPECT_EQ(kept[0].data()[kMiB - 1], 'k');
}

TEST(ShmClientTest, AnAnswerWhereNoRoomWasGivenEndsTheStream) {
  AnsweringServer server([](const v1::Request& request) {
    v1::Reply reply;
    reply.set_id(request.id());
    reply.set_shm_bytes(1 << 30);
    SetSeal(reply);
    return reply;
  });
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server.port());
  options.shm = true;
  DataChannel channel(executor, std::move(options));
  EXPECT_TRUE(absl::IsUnavailable(EchoOnce(channel, 0)));
}

}  // namespace
}  // namespace paramo
