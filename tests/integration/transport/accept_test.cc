// W1, connections: how many a server takes, of one peer and in all; what
// happens without a free descriptor; and that none is lost when it stops.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "common/base/descriptor.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

using Peers = std::vector<std::unique_ptr<RawSocket>>;

class AcceptTest : public ::testing::Test {
 protected:
  void Start(Connections::Limits limits) {
    DataServer::Options options;
    options.handler = Echo;
    options.metrics = &metrics_;
    options.connections = limits;
    server_ = StartServer(std::move(options));
  }
  void Connect(Peers& peers, const char* source) {
    peers.push_back(std::make_unique<RawSocket>(server_->port(), source));
  }
  double Value(const std::string& name, const std::string& labels = "") const {
    return MetricValue(metrics_, name, labels);
  }
  double Refused(const std::string& reason) const {
    return Value("paramo_connections_refused_total",
                 "{reason=\"" + reason + "\"}");
  }
  // From 127.0.0.1, over a connection of its own.
  absl::Status EchoOverNewConnection() {
    ClientExecutor executor(1);
    DataChannel channel(executor, ChannelTo(server_->port()));
    return EchoOnce(channel, 1000);
  }

  MetricsRegistry metrics_;
  std::unique_ptr<DataServer> server_;
};

TEST_F(AcceptTest, PeerAboveItsLimitIsHungUpOnAndOthersAreServed) {
  Start({.per_peer = 3, .total = 100});
  Peers peers;
  for (int i = 0; i < 3; ++i) Connect(peers, "127.0.0.2");
  for (int i = 0; i < 5; ++i)
    EXPECT_TRUE(
        RawSocket(server_->port(), "127.0.0.2").ClosedWithin(absl::Seconds(5)));
  EXPECT_EQ(Refused("peer_limit"), 5);
  EXPECT_EQ(EchoOverNewConnection(), absl::OkStatus());
  for (auto& peer : peers)
    EXPECT_FALSE(peer->ClosedWithin(absl::Milliseconds(50)));
}

TEST_F(AcceptTest, ClosedConnectionMakesRoomForAnother) {
  Start({.per_peer = 3, .total = 100});
  Peers peers;
  for (int i = 0; i < 3; ++i) Connect(peers, "127.0.0.2");
  peers.pop_back();
  // Until gRPC has noticed that it is closed, a fourth one is refused.
  EXPECT_TRUE(WaitUntil([&] {
    RawSocket fourth(server_->port(), "127.0.0.2");
    return !fourth.ClosedWithin(absl::Milliseconds(200));
  }));
}

TEST_F(AcceptTest, AllPeersTogetherHaveALimit) {
  Start({.per_peer = 3, .total = 5});
  Peers peers;
  for (const char* source : {"127.0.0.2", "127.0.0.3"})
    for (int i = 0; i < 2; ++i) Connect(peers, source);
  Connect(peers, "127.0.0.4");
  EXPECT_TRUE(
      RawSocket(server_->port(), "127.0.0.5").ClosedWithin(absl::Seconds(5)));
  EXPECT_EQ(Refused("total_limit"), 1);
  peers.clear();
  EXPECT_TRUE(WaitUntil([&] { return EchoOverNewConnection().ok(); }));
}

TEST_F(AcceptTest, TheGaugeFollowsWhatIsOpen) {
  Start({});
  Peers peers;
  for (int i = 0; i < 7; ++i) Connect(peers, "127.0.0.2");
  EXPECT_TRUE(WaitUntil([&] { return Value("paramo_connections") == 7; }));
  EXPECT_EQ(Value("paramo_connections_accepted_total"), 7);
  peers.resize(2);
  EXPECT_TRUE(WaitUntil([&] { return Value("paramo_connections") == 2; }));
}

// Allows no descriptor above those in use, until destroyed.
auto AllowNoMoreDescriptors() {
  rlimit before = {};
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // The lowest number that is free; all below it are in use.
  const int lowest = Descriptor(dup(STDERR_FILENO)).get();
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest);
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  return absl::MakeCleanup([before] { setrlimit(RLIMIT_NOFILE, &before); });
}

TEST_F(AcceptTest, WithoutAFreeDescriptorItWaitsAndDoesNotSpin) {
  Start({});
  ClientExecutor executor(1);
  DataChannel old(executor, ChannelTo(server_->port()));
  ASSERT_EQ(EchoOnce(old, 100), absl::OkStatus());
  const double accepted = Value("paramo_connections_accepted_total");
  const Descriptor late(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(server_->port()));
  const auto failures = [&] { return Value("paramo_accept_failures_total"); };
  {
    const auto allow_again = AllowNoMoreDescriptors();
    ASSERT_EQ(connect(late.get(), reinterpret_cast<sockaddr*>(&to), sizeof to),
              0);
    ASSERT_TRUE(WaitUntil([&] { return failures() >= 1; }));
    const absl::Time start = absl::Now();
    const double first = failures();
    ASSERT_TRUE(WaitUntil([&] { return failures() >= first + 3; }));
    EXPECT_GT(absl::Now() - start, absl::Milliseconds(180));  // 2 whole waits
    EXPECT_EQ(EchoOnce(old, 100), absl::OkStatus());
    EXPECT_EQ(Value("paramo_connections_accepted_total"), accepted);
  }
  EXPECT_TRUE(WaitUntil([&] {
    return Value("paramo_connections_accepted_total") == accepted + 1;
  }));
}

TEST_F(AcceptTest, FewDescriptorsMeanFewerConnections) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto restore =
      absl::MakeCleanup([&] { setrlimit(RLIMIT_NOFILE, &before); });
  rlimit few = before;
  few.rlim_cur = 200;  // 100 for connections, 50 of them for one peer
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  Start({});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);  // the peers are us, too
  Peers peers;
  for (int i = 0; i < 50; ++i) Connect(peers, "127.0.0.2");
  EXPECT_TRUE(
      RawSocket(server_->port(), "127.0.0.2").ClosedWithin(absl::Seconds(5)));
  EXPECT_EQ(EchoOverNewConnection(), absl::OkStatus());
}

size_t OpenDescriptors() {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/fd"))
    ++n;
  return n;
}

// gRPC leaves open what it is handed once it stops; nothing may be.
TEST_F(AcceptTest, StoppingAmidConnectionsLeaksNone) {
  Start({});
  server_.reset();
  const size_t before = OpenDescriptors();
  for (int round = 0; round < 20; ++round) {
    Start({});
    const int port = server_->port();
    std::atomic<bool> stopped{false};
    std::thread peer([&] {
      while (!stopped) {
        const Descriptor fd(socket(AF_INET, SOCK_STREAM, 0));
        sockaddr_in to = {};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(static_cast<uint16_t>(port));
        connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to);
      }
    });
    ASSERT_TRUE(WaitUntil([&] {
      return Value("paramo_connections_accepted_total") > 5 * (round + 1);
    }));
    server_.reset();
    stopped = true;
    peer.join();
  }
  EXPECT_TRUE(WaitUntil([&] { return OpenDescriptors() <= before; }))
      << OpenDescriptors() << " open, of which " << before << " were before";
}

}  // namespace
}  // namespace paramo
