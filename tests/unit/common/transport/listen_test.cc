// What is listened on, and what an accepted connection inherits.
#include "common/transport/listen.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace paramo {
namespace {

using ::testing::HasSubstr;

Listening MustListen(const Address& address, const SocketOptions& options) {
  auto listening = Listen(address, options);
  EXPECT_TRUE(listening.ok()) << listening.status();
  return listening.ok() ? std::move(*listening) : Listening();
}

Descriptor ConnectTo(int port) {
  Descriptor fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(port));
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return fd;
}

Descriptor AcceptOne(const Listening& listening) {
  pollfd ready = {listening.sockets[0].get(), POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 10'000), 1);
  return Descriptor(accept(ready.fd, nullptr, nullptr));
}

int Option(const Descriptor& fd, int option) {
  int value = -1;
  socklen_t bytes = sizeof value;
  EXPECT_EQ(getsockopt(fd.get(), IPPROTO_TCP, option, &value, &bytes), 0);
  return value;
}

TEST(Listen, AcceptedConnectionsInheritTheOptions) {
  SocketOptions options;
  options.user_timeout = absl::Milliseconds(1234);
  options.congestion = "reno";  // every kernel has it, and few by default
  const Listening listening = MustListen({"127.0.0.1", 0}, options);
  const Descriptor client = ConnectTo(listening.port);
  const Descriptor accepted = AcceptOne(listening);
  EXPECT_NE(Option(accepted, TCP_NODELAY), 0);
  EXPECT_EQ(Option(accepted, TCP_USER_TIMEOUT), 1234);
  char name[16] = {};
  socklen_t bytes = sizeof name;
  EXPECT_EQ(
      getsockopt(accepted.get(), IPPROTO_TCP, TCP_CONGESTION, name, &bytes), 0);
  EXPECT_STREQ(name, "reno");
}

TEST(Listen, CongestionControlThatTheKernelLacksIsRefused) {
  SocketOptions options;
  options.congestion = "carrier-pigeon";
  const absl::Status status = Listen({"127.0.0.1", 0}, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("carrier-pigeon"));
}

TEST(Listen, ThePortThatIsTakenIsRefused) {
  const Listening first = MustListen({"127.0.0.1", 0}, {});
  const absl::Status status = Listen({"127.0.0.1", first.port}, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("in use"));
}

TEST(Listen, AHostThatNobodyKnowsIsRefused) {
  EXPECT_EQ(Listen({"no-such-host.invalid", 0}, {}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(Listen, EveryAddressOfANameHasTheSamePort) {
  const Listening listening = MustListen({"localhost", 0}, {});
  ASSERT_FALSE(listening.sockets.empty());
  EXPECT_NE(listening.port, 0);
  for (const Descriptor& socket : listening.sockets) {
    sockaddr_storage name = {};
    socklen_t bytes = sizeof name;
    ASSERT_EQ(
        getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &bytes),
        0);
    EXPECT_EQ(ntohs(reinterpret_cast<sockaddr_in&>(name).sin_port),
              listening.port);
  }
}

// 0.0.0.0 and [::] both take a connection over the old kind of address.
TEST(Listen, TheAddressesThatStandForAllAreReachable) {
  for (const char* host : {"0.0.0.0", "::"}) {
    const absl::StatusOr<Listening> listening = Listen({host, 0}, {});
    if (!listening.ok()) {
      EXPECT_THAT(std::string(listening.status().message()),
                  HasSubstr("Address family not supported"));
      continue;  // a machine without IPv6
    }
    const Descriptor client = ConnectTo(listening->port);
    EXPECT_TRUE(AcceptOne(*listening).valid()) << host;
  }
}

}  // namespace
}  // namespace paramo
