// W7: clients that vanish or stop reading; flow control that slows a fast
// client down instead of growing a queue.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "common/transport/byte_buffer.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

// A gRPC client that writes requests and never reads a reply.
class DeafClient {
 public:
  explicit DeafClient(int port) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    grpc::GenericStub stub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(),
        arguments));
    stream_ = stub.PrepareCall(&context_, "/paramo.v1.Data/Stream", &queue_);
    stream_->StartCall(nullptr);
    Next();
  }
  ~DeafClient() {
    context_.TryCancel();
    queue_.Shutdown();  // the stream must outlive its operations
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) continue;
  }

  // False when the stream has ended, or nothing was taken for `wait`.
  bool Write(const std::string& text, std::chrono::milliseconds wait) {
    if (writing_ && !Next(wait)) return false;
    stream_->Write(ToByteBuffer(ToMessage(text)), nullptr);
    writing_ = true;
    return Next(wait);
  }

 private:
  bool Next(std::chrono::milliseconds wait = std::chrono::seconds(10)) {
    void* tag;
    bool ok = false;
    const auto event =
        queue_.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + wait);
    if (event != grpc::CompletionQueue::GOT_EVENT) return false;
    writing_ = false;
    return ok;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  bool writing_ = false;
};

Message MegabyteReply() { return ToMessage(std::string(1 << 20, 'r')); }

TEST(Stall, ServerReadsNoFurtherWhileRequestsAreUnanswered) {
  std::atomic<int> received{0};
  Mutex mu;
  std::vector<std::unique_ptr<IncomingCall>> held;
  DataServer::Options options;
  options.in_flight_max = 8;
  options.handler = [&](std::unique_ptr<IncomingCall> call) {
    if (call->first()) return AnswerHello(*call);
    received.fetch_add(1);
    MutexLock lock(mu);
    held.push_back(std::move(call));
  };
  auto server = StartServer(std::move(options));
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  std::vector<Outcome> outcomes(50);
  for (const Outcome& outcome : outcomes) {
    const uint64_t id = channel.NextId();
    channel.Send(id, ToMessage(MessageText(id, 100)), absl::Seconds(20),
                 outcome.Done());
  }
  for (int answered = 0; answered < 50;) {
    ASSERT_TRUE(WaitUntil([&] {
      MutexLock lock(mu);
      return !held.empty();
    }));
    std::unique_ptr<IncomingCall> call;
    {
      MutexLock lock(mu);
      call = std::move(held.back());
      held.pop_back();
      EXPECT_LE(held.size() + 1, 8u);
    }
    Echo(std::move(call));
    ++answered;
    EXPECT_LE(received.load(), answered + 8);
  }
  for (const Outcome& outcome : outcomes) EXPECT_TRUE(outcome.Wait().ok());
}

TEST(Stall, ClientThatStopsReadingIsBoundedAndEnded) {
  std::atomic<int> received{0};
  MetricsRegistry metrics;
  DataServer::Options options;
  options.metrics = &metrics;
  options.unsent_bytes_soft = 4 << 20;
  options.write_timeout = absl::Milliseconds(500);
  options.handler = [&](std::unique_ptr<IncomingCall> call) {
    if (call->request().size() != MessageText(1, 50).size())
      return Echo(std::move(call));
    received.fetch_add(1);
    call->Reply(MegabyteReply());
  };
  auto server = StartServer(std::move(options));
  const size_t before = ResidentBytes();
  DeafClient client(server->port());
  // 100 MB of replies, far above what the client's window and the server's
  // limit take together: the server soon reads no more. Small as they are, the
  // requests themselves all fit into the client's side of the connection.
  for (int i = 0; i < 100; ++i)
    if (!client.Write(MessageText(1, 50), std::chrono::seconds(5))) break;
  ASSERT_TRUE(WaitUntil([&] {
    return MetricValue(metrics, "paramo_streams_ended_total",
                       "{reason=\"write_timeout\"}") == 1;
  }));
  ASSERT_TRUE(WaitUntil([&] { return server->streams() == 0; }));
  EXPECT_TRUE(WaitUntil(
      [&] { return MetricValue(metrics, "paramo_streams", "") == 0; }));
  // What was read: the unsent limit, and what the client's own window took.
  EXPECT_LT(received.load(), 100);
  EXPECT_LT(ResidentBytes(), before + (size_t{200} << 20));

  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  EXPECT_EQ(EchoOnce(channel, 1000), absl::OkStatus());
}

TEST(Stall, TooManyUnsentBytesEndTheStream) {
  MetricsRegistry metrics;
  DataServer::Options options;
  options.metrics = &metrics;
  options.unsent_bytes_soft = 1 << 20;
  options.unsent_bytes_max = 4 << 20;
  options.write_timeout = absl::Milliseconds(500);
  Mutex mu;
  std::vector<std::unique_ptr<IncomingCall>> held;
  options.handler = [&](std::unique_ptr<IncomingCall> call) {
    MutexLock lock(mu);
    held.push_back(std::move(call));
  };
  auto server = StartServer(std::move(options));
  DeafClient client(server->port());
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(client.Write(MessageText(1, 50), std::chrono::seconds(5)));
  ASSERT_TRUE(WaitUntil([&] {
    MutexLock lock(mu);
    return held.size() == 20;
  }));
  MutexLock lock(mu);
  for (auto& call : held) call->Reply(MegabyteReply());
  EXPECT_TRUE(WaitUntil([&] { return server->streams() == 0; }));
  EXPECT_EQ(MetricValue(metrics, "paramo_streams_ended_total",
                        "{reason=\"unsent_bytes\"}"),
            1);
}

// Keeps the small requests, answers all others.
class Keeper {
 public:
  DataHandler Handler() {
    return [this](std::unique_ptr<IncomingCall> call) {
      if (call->request().size() != kRequest.size())
        return Echo(std::move(call));
      MutexLock lock(mu_);
      ++received_;
      held_.push_back(std::move(call));
    };
  }
  size_t received() {
    MutexLock lock(mu_);
    return received_;
  }
  void ReplyTo(size_t n, size_t bytes) {
    for (size_t i = 0; i < n; ++i) {
      std::unique_ptr<IncomingCall> call;
      {
        MutexLock lock(mu_);
        call = std::move(held_.back());
        held_.pop_back();
      }
      Message reply;  // whose bytes nobody writes: they take no memory
      reply.push_back(Buffer(bytes));
      call->Reply(std::move(reply));
    }
  }

  const std::string kRequest = MessageText(1, 50);

 private:
  Mutex mu_;
  size_t received_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::unique_ptr<IncomingCall>> held_ ABSL_GUARDED_BY(mu_);
};

TEST(Stall, StreamHasAsManyRequestsBeingWorkedOnAsTheLimit) {
  Keeper keeper;
  auto server = StartServer(keeper.Handler());
  DeafClient client(server->port());
  for (size_t i = 0; i < kStreamInFlightMax + 50; ++i)
    ASSERT_TRUE(client.Write(keeper.kRequest, std::chrono::seconds(5)));
  ASSERT_TRUE(
      WaitUntil([&] { return keeper.received() >= kStreamInFlightMax; }));
  ClientExecutor executor(1);
  DataChannel other(executor, ChannelTo(server->port()));
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(EchoOnce(other, 1000), absl::OkStatus());
  EXPECT_EQ(keeper.received(), kStreamInFlightMax);
  keeper.ReplyTo(3, 10);
  EXPECT_TRUE(
      WaitUntil([&] { return keeper.received() == kStreamInFlightMax + 3; }));
}

TEST(Stall, StreamMayLeaveAsManyBytesUnreadAsTheLimit) {
  MetricsRegistry metrics;
  Keeper keeper;
  DataServer::Options options;
  options.metrics = &metrics;
  options.handler = keeper.Handler();
  options.write_timeout = absl::Seconds(2);  // the end waits for a write
  auto server = StartServer(std::move(options));
  DeafClient client(server->port());
  for (size_t i = 0; i < kStreamInFlightMax; ++i)
    ASSERT_TRUE(client.Write(keeper.kRequest, std::chrono::seconds(5)));
  ASSERT_TRUE(
      WaitUntil([&] { return keeper.received() == kStreamInFlightMax; }));
  const auto ended = [&] {
    return MetricValue(metrics, "paramo_streams_ended_total",
                       "{reason=\"unsent_bytes\"}");
  };
  const size_t each = kStreamUnsentBytesMax / 16;
  keeper.ReplyTo(15, each);  // and the sixteenth would reach it exactly
  EXPECT_EQ(ended(), 0);
  keeper.ReplyTo(2, each);  // one of all may have left
  EXPECT_EQ(ended(), 1);
  EXPECT_TRUE(WaitUntil([&] { return server->streams() == 0; }));
}

TEST(Stall, ReplyThatNobodyTakesEndsItsStreamAfterTheTimeout) {
  MetricsRegistry metrics;
  Keeper keeper;
  DataServer::Options options;
  options.metrics = &metrics;
  options.handler = keeper.Handler();
  auto server = StartServer(std::move(options));
  DeafClient client(server->port());
  ASSERT_TRUE(client.Write(keeper.kRequest, std::chrono::seconds(5)));
  ASSERT_TRUE(WaitUntil([&] { return keeper.received() == 1; }));
  const auto ended = [&] {
    return MetricValue(metrics, "paramo_streams_ended_total",
                       "{reason=\"write_timeout\"}") == 1;
  };
  const absl::Time start = absl::Now();
  keeper.ReplyTo(1, size_t{60} << 20);  // more than a window and the sockets
  const absl::Duration timeout = absl::Milliseconds(kWriteTimeoutMs);
  while (!ended() && absl::Now() - start < timeout + absl::Seconds(10))
    WaitUntil(ended);
  EXPECT_TRUE(ended());
  EXPECT_GE(absl::Now() - start, timeout);
  EXPECT_TRUE(WaitUntil([&] { return server->streams() == 0; }));
}

TEST(Stall, VanishedClientCancelsItsCalls) {
  Mutex mu;
  std::vector<std::unique_ptr<IncomingCall>> held;
  auto server = StartServer([&](std::unique_ptr<IncomingCall> call) {
    if (call->first()) return AnswerHello(*call);
    MutexLock lock(mu);
    held.push_back(std::move(call));
  });
  {
    DeafClient client(server->port());
    client.Write(MessageText(1, 10), std::chrono::seconds(5));
    client.Write(MessageText(2, 10), std::chrono::seconds(5));
    ASSERT_TRUE(WaitUntil([&] {
      MutexLock lock(mu);
      return held.size() == 1;
    }));
  }
  MutexLock lock(mu);
  EXPECT_TRUE(WaitUntil([&] { return held[0]->cancelled(); }));
  EXPECT_TRUE(WaitUntil([&] { return server->streams() == 0; }));
  Echo(std::move(held[0]));  // dropped
}

}  // namespace
}  // namespace paramo
