// Who may come in: limits per peer and in all, closed connections that make
// room, and descriptors whose number was used again.
#include "common/transport/connections.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/descriptor.h"

namespace paramo {
namespace {

using Verdict = Connections::Verdict;

// Connections that exist in here only; numbers stand for their cookies.
class ConnectionsTest : public ::testing::Test {
 protected:
  Verdict Add(const std::string& peer) {
    ++newest_;
    const Verdict verdict =
        connections_.Add(peer, {static_cast<int>(newest_), newest_}, now_);
    if (verdict == Verdict::kAdmitted) open_.insert(newest_);
    return verdict;
  }
  void AddMany(const std::string& peer, size_t n) {
    for (size_t i = 0; i < n; ++i) ASSERT_EQ(Add(peer), Verdict::kAdmitted);
  }
  void CloseNewest() { open_.erase(std::prev(open_.end())); }

  std::set<uint64_t> open_;
  uint64_t newest_ = 0;
  int questions_ = 0;
  absl::Time now_ = absl::UnixEpoch();
  Connections connections_{Connections::Limits{},
                           [this](const Connection& connection) {
                             ++questions_;
                             return open_.count(connection.cookie) > 0;
                           }};
};

TEST_F(ConnectionsTest, APeerHasAsManyAsTheLimitAndOthersHaveTheirs) {
  AddMany("a", kConnectionsPerPeerMax);
  EXPECT_EQ(Add("a"), Verdict::kPeerFull);
  AddMany("b", kConnectionsPerPeerMax);
  EXPECT_EQ(Add("b"), Verdict::kPeerFull);
  EXPECT_EQ(connections_.total(), 2 * kConnectionsPerPeerMax);
}

TEST_F(ConnectionsTest, AllPeersTogetherHaveAsManyAsTheLimit) {
  const size_t peers = kConnectionsMax / kConnectionsPerPeerMax;
  for (size_t i = 0; i < peers; ++i)
    AddMany(absl::StrCat(i), kConnectionsPerPeerMax);
  EXPECT_EQ(connections_.total(), kConnectionsMax);
  EXPECT_EQ(Add("another"), Verdict::kFull);
}

TEST_F(ConnectionsTest, AClosedOneMakesRoomForOne) {
  AddMany("a", kConnectionsPerPeerMax);
  CloseNewest();
  EXPECT_EQ(Add("a"), Verdict::kAdmitted);
  now_ += absl::Seconds(1);
  EXPECT_EQ(Add("a"), Verdict::kPeerFull);
}

TEST_F(ConnectionsTest, AFloodOfRefusalsAsksAboutEachTwentyMillisecondsApart) {
  AddMany("a", kConnectionsPerPeerMax);
  const int each = kConnectionsPerPeerMax;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(Add("a"), Verdict::kPeerFull);
  EXPECT_EQ(questions_, each);
  now_ += absl::Milliseconds(19);
  EXPECT_EQ(Add("a"), Verdict::kPeerFull);
  EXPECT_EQ(questions_, each);
  now_ += absl::Milliseconds(1);
  EXPECT_EQ(Add("a"), Verdict::kPeerFull);
  EXPECT_EQ(questions_, 2 * each);
}

TEST_F(ConnectionsTest, PeersWithoutConnectionsAreForgotten) {
  AddMany("a", 3);
  AddMany("b", 1);
  CloseNewest();
  connections_.Sweep(now_);
  EXPECT_EQ(connections_.peers(), 1u);
  EXPECT_EQ(connections_.total(), 3u);
  open_.clear();
  connections_.Sweep(now_);
  EXPECT_EQ(connections_.peers(), 0u);
}

// ---- What the kernel is asked -----------------------------------------------

int OpenSocket() { return socket(AF_INET, SOCK_STREAM, 0); }

TEST(Connection, IsOpenUntilItsDescriptorIsClosed) {
  const int fd = OpenSocket();
  const Connection connection = ConnectionOf(fd);
  EXPECT_TRUE(IsOpen(connection));
  close(fd);
  EXPECT_FALSE(IsOpen(connection));
}

TEST(Connection, IsNotTheSocketThatHasItsNumberNow) {
  const Descriptor other(OpenSocket());
  const int fd = OpenSocket();
  const Connection connection = ConnectionOf(fd);
  ASSERT_EQ(dup2(other.get(), fd), fd);
  EXPECT_FALSE(IsOpen(connection));
  close(fd);
}

TEST(Connection, IsNotTheFileThatHasItsNumberNow) {
  const int fd = OpenSocket();
  const Connection connection = ConnectionOf(fd);
  ASSERT_EQ(dup2(STDERR_FILENO, fd), fd);
  EXPECT_FALSE(IsOpen(connection));
  close(fd);
}

std::string PeerOfText(const char* text) {
  sockaddr_storage address = {};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    address.ss_family = AF_INET;
    v4.sin_port = 77;
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
    address.ss_family = AF_INET6;
    v6.sin6_port = 77;
  }
  return PeerOf(address);
}

TEST(Peer, IsAnAddressOfTheOldKindOrANetworkOfTheNewOne) {
  EXPECT_EQ(PeerOfText("10.0.0.7"), std::string("\x0a\0\0\x07", 4));
  EXPECT_NE(PeerOfText("10.0.0.7"), PeerOfText("10.0.0.8"));
  EXPECT_EQ(PeerOfText("10.0.0.7"), PeerOfText("::ffff:10.0.0.7"));
  EXPECT_EQ(PeerOfText("2001:db8::1"), PeerOfText("2001:db8::2:0:0:1"));
  EXPECT_NE(PeerOfText("2001:db8::1"), PeerOfText("2001:db8:0:1::1"));
}

}  // namespace
}  // namespace paramo
