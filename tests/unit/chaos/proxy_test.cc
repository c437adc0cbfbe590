// What the proxy does to an echo server's connections.
#include "tests/chaos/proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bit>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/transport/address.h"

namespace paramo::chaos {
namespace {

// Sends back what it gets, on every connection; remembers how much it got on
// each.
class EchoServer {
 public:
  EchoServer() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    sockaddr* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_, generic, size), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    EXPECT_EQ(::getsockname(listener_, generic, &size), 0);
    address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this] { Run(); });
  }
  ~EchoServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  const std::string& address() const { return address_; }
  std::vector<std::string> received() {
    std::lock_guard<std::mutex> lock(mu_);
    return received_;
  }

 private:
  void Run() {
    std::vector<std::thread> connections;
    while (true) {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) break;
      connections.emplace_back([this, fd] { Echo(fd); });
    }
    for (auto& connection : connections) connection.join();
  }
  void Echo(int fd) {
    size_t index = 0;
    {
      std::lock_guard<std::mutex> lock(mu_);
      index = received_.size();
      received_.emplace_back();
    }
    char bytes[4096];
    ssize_t count = 0;
    while ((count = ::recv(fd, bytes, sizeof bytes, 0)) > 0) {
      {
        std::lock_guard<std::mutex> lock(mu_);
        received_[index].append(bytes, static_cast<size_t>(count));
      }
      if (::send(fd, bytes, static_cast<size_t>(count), MSG_NOSIGNAL) < 0)
        break;
    }
    ::close(fd);
  }

  int listener_;
  std::string address_;
  std::thread thread_;
  std::mutex mu_;
  std::vector<std::string> received_;
};

// A client's connection.
class Caller {
 public:
  explicit Caller(const std::string& address) {
    const auto parsed = ParseAddress(address);
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(parsed->port));
    ::inet_pton(AF_INET, parsed->host.c_str(), &to.sin_addr);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~Caller() { ::close(fd_); }

  bool Send(const std::string& bytes) {
    return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // Up to `size` bytes, as far as they come within `timeout`. `ended` when the
  // connection is over.
  std::string Receive(size_t size, absl::Duration timeout = absl::Seconds(10)) {
    const absl::Time deadline = absl::Now() + timeout;
    std::string bytes;
    while (bytes.size() < size && !ended_) {
      pollfd fd = {fd_, POLLIN, 0};
      const auto left = absl::ToInt64Milliseconds(deadline - absl::Now());
      if (left <= 0 || ::poll(&fd, 1, static_cast<int>(left)) <= 0) break;
      char buffer[4096];
      const ssize_t count =
          ::recv(fd_, buffer, std::min(sizeof buffer, size - bytes.size()), 0);
      if (count <= 0) ended_ = true;
      if (count > 0) bytes.append(buffer, static_cast<size_t>(count));
    }
    return bytes;
  }
  bool ended() const { return ended_; }

 private:
  int fd_;
  bool ended_ = false;
};

class ProxyTest : public testing::Test {
 protected:
  ProxyTest() {
    auto proxy = Proxy::Start({"127.0.0.1", "127.0.0.1", /*seed=*/3});
    EXPECT_TRUE(proxy.ok()) << proxy.status();
    proxy_ = *std::move(proxy);
    proxy_->SetTarget(server_.address());
  }

  // Counters follow the bytes that they count by an instant.
  template <typename Condition>
  bool Counted(const Condition& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (!condition(proxy_->counters())) {
      if (absl::Now() > deadline) return false;
    }
    return true;
  }

  EchoServer server_;
  std::unique_ptr<Proxy> proxy_;
  const std::string hello_ = "hello, world";
  const std::string much_ = std::string(200'000, 'x');
};

TEST_F(ProxyTest, PassesBytesBothWays) {
  Caller caller(proxy_->address());
  ASSERT_TRUE(caller.Send(much_));
  EXPECT_EQ(caller.Receive(much_.size()), much_);
  EXPECT_TRUE(Counted([&](const ProxyCounters& counters) {
    return counters.bytes == 2 * much_.size() && counters.connections == 1;
  }));
}

TEST_F(ProxyTest, WithoutATargetConnectionsAreReset) {
  auto proxy = Proxy::Start({});
  ASSERT_TRUE(proxy.ok());
  Caller caller((*proxy)->address());
  caller.Send(hello_);
  EXPECT_EQ(caller.Receive(1), "");
  EXPECT_TRUE(caller.ended());
}

TEST_F(ProxyTest, HeldBytesWaitAndThenArrive) {
  Caller caller(proxy_->address());
  ASSERT_TRUE(caller.Send(hello_));
  ASSERT_EQ(caller.Receive(hello_.size()), hello_);
  proxy_->Inject(ProxyFault::kHold);
  // The order may take effect after the first of these.
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(caller.Send(hello_));
    if (caller.Receive(1, absl::Milliseconds(50)).empty()) break;
    caller.Receive(hello_.size() - 1);
    ASSERT_LT(i, 9) << "never held";
  }
  EXPECT_FALSE(caller.ended());
  proxy_->Heal();
  EXPECT_EQ(caller.Receive(hello_.size()), hello_);
}

TEST_F(ProxyTest, DelayedBytesComeLateAndInOrder) {
  proxy_->Inject(ProxyFault::kDelay);
  Caller caller(proxy_->address());
  std::string sent;
  for (int i = 0; i < 50; ++i) {
    const std::string piece = absl::StrCat("piece ", i, ";");
    ASSERT_TRUE(caller.Send(piece));
    sent += piece;
  }
  EXPECT_EQ(caller.Receive(sent.size()), sent);
  EXPECT_TRUE(Counted([](const ProxyCounters& counters) {
    return counters.delayed_pieces > 0;
  }));
}

TEST_F(ProxyTest, ReorderingLetsConnectionsOvertakeEachOther) {
  Caller first(proxy_->address());
  Caller second(proxy_->address());
  proxy_->Inject(ProxyFault::kReorder);
  bool overtaken = false;
  // Each round sends on the first, then on the second.
  for (int round = 0; round < 200 && !overtaken; ++round) {
    ASSERT_TRUE(first.Send("1"));
    ASSERT_TRUE(second.Send("2"));
    ASSERT_EQ(second.Receive(1), "2");
    overtaken = first.Receive(1, absl::Milliseconds(1)).empty();
    if (overtaken) {
      EXPECT_EQ(first.Receive(1), "1");
    }
  }
  EXPECT_TRUE(overtaken);
}

TEST_F(ProxyTest, CorruptionFlipsSingleBits) {
  proxy_->Inject(ProxyFault::kCorrupt);
  Caller caller(proxy_->address());
  std::thread sending([&] { caller.Send(much_); });
  const std::string got = caller.Receive(much_.size());
  sending.join();
  ASSERT_EQ(got.size(), much_.size());
  uint64_t flipped = 0;
  for (char c : got) {
    flipped += static_cast<uint64_t>(
        std::popcount(static_cast<unsigned char>(c ^ 'x')));
  }
  EXPECT_GT(flipped, 0u);
  EXPECT_TRUE(Counted([&](const ProxyCounters& counters) {
    return counters.flipped_bits == flipped;
  }));
}

TEST_F(ProxyTest, ADuplicatedConnectionBringsTheServerTheSameBytesTwice) {
  proxy_->Inject(ProxyFault::kDuplicate);
  Caller caller(proxy_->address());
  ASSERT_TRUE(caller.Send(hello_));
  EXPECT_EQ(caller.Receive(hello_.size()), hello_);  // once
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (server_.received() != std::vector<std::string>{hello_, hello_}) {
    ASSERT_LT(absl::Now(), deadline) << server_.received().size();
  }
  EXPECT_TRUE(Counted([&](const ProxyCounters& counters) {
    return counters.copied_bytes == hello_.size();
  }));
}

TEST_F(ProxyTest, OfAHalfOpenConnectionOneDirectionIsDead) {
  Caller caller(proxy_->address());
  ASSERT_TRUE(caller.Send(hello_));
  ASSERT_EQ(caller.Receive(hello_.size()), hello_);
  proxy_->Inject(ProxyFault::kHalfOpen);
  for (int i = 0; proxy_->counters().vanished_bytes == 0; ++i) {
    ASSERT_LT(i, 1000);
    ASSERT_TRUE(caller.Send(hello_));
    caller.Receive(hello_.size(), absl::Milliseconds(10));
  }
  EXPECT_FALSE(caller.ended());
  proxy_->Heal();  // nobody can fill the gap
  caller.Receive(1'000'000);
  EXPECT_TRUE(caller.ended());
}

TEST_F(ProxyTest, BrokenConnectionsEndAndNewOnesWork) {
  Caller caller(proxy_->address());
  ASSERT_TRUE(caller.Send(hello_));
  ASSERT_EQ(caller.Receive(hello_.size()), hello_);
  proxy_->Break();
  EXPECT_EQ(caller.Receive(1), "");
  EXPECT_TRUE(caller.ended());
  Caller again(proxy_->address());
  ASSERT_TRUE(again.Send(hello_));
  EXPECT_EQ(again.Receive(hello_.size()), hello_);
}

TEST_F(ProxyTest, TheNextConnectionGoesToTheNewTarget) {
  EchoServer other;
  proxy_->SetTarget(other.address());
  Caller caller(proxy_->address());
  ASSERT_TRUE(caller.Send(hello_));
  EXPECT_EQ(caller.Receive(hello_.size()), hello_);
  EXPECT_EQ(other.received(), std::vector<std::string>{hello_});
  EXPECT_TRUE(server_.received().empty());
}

}  // namespace
}  // namespace paramo::chaos
