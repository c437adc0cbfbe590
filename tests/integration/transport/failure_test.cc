// The transport when a side goes away, refuses or is late. What is asserted
// everywhere: every done is called exactly once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/transport/listen.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

// Keeps what it receives, after the Hello, until told to let go.
class Holder {
 public:
  DataHandler Handler() {
    return [this](std::unique_ptr<IncomingCall> call) {
      if (call->first()) return AnswerHello(*call);
      MutexLock lock(mu_);
      calls_.push_back(std::move(call));
    };
  }
  size_t size() {
    MutexLock lock(mu_);
    return calls_.size();
  }
  std::vector<std::unique_ptr<IncomingCall>> TakeAll() {
    MutexLock lock(mu_);
    return std::exchange(calls_, {});
  }

 private:
  Mutex mu_;
  std::vector<std::unique_ptr<IncomingCall>> calls_ ABSL_GUARDED_BY(mu_);
};

void SendOne(DataChannel& channel, const Outcome& outcome,
             absl::Duration timeout = absl::Seconds(20), size_t bytes = 100) {
  const uint64_t id = channel.NextId();
  channel.Send(id, ToMessage(MessageText(id, bytes)), timeout, outcome.Done());
}

TEST(Failure, StoppedServerFailsEverythingInFlightOnce) {
  Holder holder;
  auto server = StartServer(holder.Handler());
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server->port());
  options.in_flight_max = 10;  // the rest stays queued in the client
  DataChannel channel(executor, std::move(options));
  std::vector<Outcome> outcomes(30);
  for (const Outcome& outcome : outcomes) SendOne(channel, outcome);
  ASSERT_TRUE(WaitUntil([&] { return holder.size() == 10; }));

  server.reset();
  int never_sent = 0;
  for (const Outcome& outcome : outcomes) {
    const absl::Status status = outcome.Wait().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    never_sent += NeverSent(status) ? 1 : 0;
  }
  EXPECT_EQ(never_sent, 20);
  EXPECT_EQ(channel.outstanding(), 0u);
  // Calls that outlive their server are dropped in silence.
  for (auto& call : holder.TakeAll()) {
    EXPECT_TRUE(call->cancelled());
    Echo(std::move(call));
  }
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.count(), 1);
}

TEST(Failure, NobodyListeningFailsFastAndSaysSo) {
  int port = 0;
  {
    auto server = StartServer(Echo);
    port = server->port();
  }
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(port));
  const absl::Status first = EchoOnce(channel, 10);
  EXPECT_EQ(first.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(NeverSent(first));
  EXPECT_THAT(std::string(first.message()), HasSubstr("is it running there"));
  // Enough failures in a row make the pause long enough to be seen.
  absl::Status status;
  EXPECT_TRUE(WaitUntil([&] {
    const absl::Time start = absl::Now();
    status = EchoOnce(channel, 10);
    return absl::StrContains(status.message(), "next attempt in") &&
           absl::Now() - start < absl::Milliseconds(100);
  })) << status;
}

TEST(Failure, ReconnectsToARestartedServerOnTheSamePort) {
  auto server = StartServer(Echo);
  const int port = server->port();
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(port));
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(WaitUntil([&] { return EchoOnce(channel, 5000).ok(); }));
    server.reset();
    EXPECT_TRUE(WaitUntil([&] { return !EchoOnce(channel, 5000).ok(); }));
    server = StartServer(Echo, port);
    ASSERT_NE(server, nullptr);
  }
  EXPECT_TRUE(WaitUntil([&] { return EchoOnce(channel, 5000).ok(); }));
}

TEST(Failure, DeadlineIsKeptAndTheStreamGoesOn) {
  Holder holder;
  auto server = StartServer(holder.Handler());
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  const Outcome late;
  const Outcome patient;
  const absl::Time start = absl::Now();
  SendOne(channel, patient);
  SendOne(channel, late, absl::Milliseconds(150));
  const absl::Status status = late.Wait().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(NeverSent(status));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(150));
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));

  // The late answer is dropped, the other one arrives.
  for (auto& call : holder.TakeAll()) Echo(std::move(call));
  EXPECT_TRUE(patient.Wait().ok());
  EXPECT_EQ(late.count(), 1);
}

TEST(Failure, PassedDeadlineIsRefusedUnsent) {
  auto server = StartServer(Echo);
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  const absl::Status status = EchoOnce(channel, 10, absl::ZeroDuration());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(NeverSent(status));
}

TEST(Failure, CancelReportsOnceAndTheAnswerIsDropped) {
  Holder holder;
  auto server = StartServer(holder.Handler());
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  const Outcome outcome;
  const uint64_t id = channel.NextId();
  channel.Send(id, ToMessage(MessageText(id, 10)), absl::Seconds(20),
               outcome.Done());
  ASSERT_TRUE(WaitUntil([&] { return holder.size() == 1; }));
  channel.Cancel(id);
  channel.Cancel(id);
  channel.Cancel(12345);  // never existed
  EXPECT_EQ(outcome.Wait().status().code(), absl::StatusCode::kCancelled);
  for (auto& call : holder.TakeAll()) Echo(std::move(call));
  EXPECT_EQ(EchoOnce(channel, 10, absl::Milliseconds(50)).code(),
            absl::StatusCode::kDeadlineExceeded);  // the holder has it
  EXPECT_EQ(outcome.count(), 1);
}

TEST(Failure, ClosedChannelCallsEveryDoneBeforeItReturns) {
  Holder holder;
  auto server = StartServer(holder.Handler());
  ClientExecutor executor(1);
  std::vector<Outcome> outcomes(20);
  {
    DataChannel channel(executor, ChannelTo(server->port()));
    for (const Outcome& outcome : outcomes) SendOne(channel, outcome);
    channel.Close();
    for (const Outcome& outcome : outcomes) {
      EXPECT_EQ(outcome.count(), 1);
      EXPECT_EQ(outcome.Wait().status().code(), absl::StatusCode::kCancelled);
    }
    EXPECT_EQ(EchoOnce(channel, 10).code(), absl::StatusCode::kCancelled);
  }
  EXPECT_TRUE(WaitUntil([&] { return server->streams() == 0; }));
}

TEST(Failure, ChannelMayBeClosedFromInsideADone) {
  auto server = StartServer(Echo);
  ClientExecutor executor(1);
  auto channel =
      std::make_unique<DataChannel>(executor, ChannelTo(server->port()));
  const Outcome outcome;
  const uint64_t id = channel->NextId();
  channel->Send(id, ToMessage(MessageText(id, 10)), absl::Seconds(20),
                [&](absl::StatusOr<Rope> reply) {
                  channel.reset();
                  outcome.Done()(std::move(reply));
                });
  EXPECT_TRUE(outcome.Wait().ok());
}

TEST(Failure, RefusedHelloFailsEverySendWithItsStatus) {
  MetricsRegistry metrics;
  DataServer::Options server_options;
  server_options.metrics = &metrics;
  server_options.handler = [](std::unique_ptr<IncomingCall> call) {
    call->Fail(absl::FailedPreconditionError("this is cluster 7, not 8"));
  };
  auto server = StartServer(std::move(server_options));
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  for (int i = 0; i < 3; ++i) {
    const absl::Status status = EchoOnce(channel, 10);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("not 8"));
    EXPECT_TRUE(NeverSent(status));
  }
  EXPECT_GE(MetricValue(metrics, "paramo_streams_ended_total",
                        "{reason=\"refused\"}"),
            1);
}

TEST(Failure, HelloThatTheClientDislikesEndsTheStream) {
  auto server = StartServer(Echo);
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server->port());
  options.check_hello = [](const Rope&) {
    return absl::FailedPreconditionError("another incarnation");
  };
  DataChannel channel(executor, std::move(options));
  EXPECT_EQ(EchoOnce(channel, 10).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(WaitUntil([&] { return server->streams() == 0; }));
}

TEST(Failure, SilentServerIsGivenUpAfterTheConnectTimeout) {
  std::vector<std::unique_ptr<IncomingCall>> hellos;
  Mutex mu;
  auto server = StartServer([&](std::unique_ptr<IncomingCall> call) {
    MutexLock lock(mu);
    hellos.push_back(std::move(call));
  });
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server->port());
  options.connect_timeout = absl::Milliseconds(300);
  DataChannel channel(executor, std::move(options));
  const absl::Status status = EchoOnce(channel, 10);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Hello"));
}

TEST(Failure, UnansweredCallEndsTheStreamInsteadOfHanging) {
  auto server = StartServer([](std::unique_ptr<IncomingCall> call) {
    if (call->first()) AnswerHello(*call);
  });
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  EXPECT_EQ(EchoOnce(channel, 10).code(), absl::StatusCode::kUnavailable);
}

// As after a damaged length: the server waits for the rest of a message.
TEST(Failure, AStreamThatAnswersNoProbeIsGivenUpLongBeforeTheDeadline) {
  Holder holder;
  auto server = StartServer(holder.Handler());
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server->port());
  options.probe = [](uint64_t id) { return ToMessage(MessageText(id, 1)); };
  options.probe_after = absl::Milliseconds(20);
  options.probe_timeout = absl::Milliseconds(1100);
  DataChannel channel(executor, std::move(options));
  const Outcome outcome;
  SendOne(channel, outcome, absl::InfiniteDuration());
  const absl::Status status = outcome.Wait().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_FALSE(NeverSent(status));
}

TEST(Failure, AStreamThatAnswersProbesMayBeSlowWithTheRest) {
  Holder holder;
  constexpr size_t kProbeBytes = 3;
  std::atomic<int> probes{0};
  auto server = StartServer([&](std::unique_ptr<IncomingCall> call) {
    if (call->request().size() != MessageText(2, kProbeBytes).size()) {
      return holder.Handler()(std::move(call));
    }
    ++probes;
    Echo(std::move(call));
  });
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server->port());
  options.probe = [](uint64_t id) {
    return ToMessage(MessageText(id, kProbeBytes));
  };
  options.probe_after = absl::Milliseconds(20);
  options.probe_timeout = absl::Seconds(20);
  DataChannel channel(executor, std::move(options));
  const Outcome slow;
  SendOne(channel, slow, absl::InfiniteDuration());
  ASSERT_TRUE(WaitUntil([&] { return holder.size() == 1; }));
  EXPECT_TRUE(WaitUntil([&] { return probes >= 3; }));
  EXPECT_EQ(slow.count(), 0);
  for (auto& call : holder.TakeAll()) Echo(std::move(call));
  EXPECT_TRUE(slow.Wait().ok());
}

TEST(Failure, FullClientQueueIsAStatus) {
  Holder holder;
  auto server = StartServer(holder.Handler());
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server->port());
  options.in_flight_max = 1;
  options.queue_bytes_max = 10'000;
  DataChannel channel(executor, std::move(options));
  const Outcome sent;
  SendOne(channel, sent);
  ASSERT_TRUE(WaitUntil([&] { return holder.size() == 1; }));
  const Outcome queued;
  SendOne(channel, queued, absl::Seconds(20), 9000);
  const absl::Status status = EchoOnce(channel, 9000);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(NeverSent(status));
  for (auto& call : holder.TakeAll()) Echo(std::move(call));
  EXPECT_TRUE(sent.Wait().ok());
  ASSERT_TRUE(WaitUntil([&] { return holder.size() == 1; }));  // its turn
  for (auto& call : holder.TakeAll()) Echo(std::move(call));
  EXPECT_TRUE(queued.Wait().ok());
}

// Nobody touches the bytes, so they take no memory.
Message Unwritten(size_t bytes) {
  Message message;
  message.push_back(Buffer(bytes));
  return message;
}

TEST(Failure, ClientQueueHoldsAsManyBytesAsTheLimit) {
  Holder holder;
  auto server = StartServer(holder.Handler());
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server->port());
  options.in_flight_max = 1;
  DataChannel channel(executor, std::move(options));
  const Outcome sent;
  SendOne(channel, sent);
  ASSERT_TRUE(WaitUntil([&] { return holder.size() == 1; }));
  const Outcome queued;
  const size_t bytes = kClientQueueBytesMax / 8;
  for (int i = 0; i < 8; ++i)
    channel.Send(channel.NextId(), Unwritten(bytes), absl::Seconds(20),
                 queued.Done());
  const Outcome refused;
  channel.Send(channel.NextId(), Unwritten(1), absl::Seconds(20),
               refused.Done());
  EXPECT_EQ(refused.Wait().status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(queued.count(), 0);
}

// A peer that hangs up on every connection, and when it did.
class HangUp {
 public:
  HangUp() : listening_(*Listen({"127.0.0.1", 0}, {})) {
    thread_ = std::thread([this] { Run(); });
  }
  ~HangUp() {
    stopped_ = true;
    thread_.join();
  }
  int port() const { return listening_.port; }
  std::vector<absl::Time> times() {
    MutexLock lock(mu_);
    return times_;
  }

 private:
  void Run() {
    while (!stopped_) {
      pollfd ready = {listening_.sockets[0].get(), POLLIN, 0};
      if (poll(&ready, 1, 10) != 1) continue;
      const Descriptor fd(accept(ready.fd, nullptr, nullptr));
      MutexLock lock(mu_);
      times_.push_back(absl::Now());
    }
  }

  Listening listening_;
  std::atomic<bool> stopped_{false};
  Mutex mu_;
  std::vector<absl::Time> times_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

TEST(Failure, AttemptsToConnectComeFurtherAndFurtherApart) {
  HangUp peer;
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(peer.port()));
  constexpr size_t kAttempts = 5;
  ASSERT_TRUE(WaitUntil([&] {
    EXPECT_FALSE(EchoOnce(channel, 10).ok());
    return peer.times().size() >= kAttempts;
  }));
  const std::vector<absl::Time> times = peer.times();
  for (size_t i = 1; i < kAttempts; ++i)
    EXPECT_GE(times[i] - times[i - 1],
              absl::Milliseconds(kReconnectMinMs << (i - 1)) / 2)
        << i;
}

TEST(Failure, TooLargeRequestIsRefusedBeforeItLeaves) {
  auto server = StartServer(Echo);
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server->port()));
  const absl::Status status = EchoOnce(channel, kMessageBytesMax);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(NeverSent(status));
  EXPECT_EQ(EchoOnce(channel, 10), absl::OkStatus());
}

TEST(Failure, ServerWithTheSamePortIsRefused) {
  auto server = StartServer(Echo);
  DataServer::Options options;
  options.listen = {"127.0.0.1:" + std::to_string(server->port())};
  options.handler = Echo;
  EXPECT_EQ(DataServer::Start(options).status().code(),
            absl::StatusCode::kUnavailable);
  options.listen = {"nonsense"};
  EXPECT_EQ(DataServer::Start(options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace paramo
