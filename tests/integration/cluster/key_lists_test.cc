// Key lists that go once and then as their hash, over servers that forget them,
// die and come back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <numeric>

#include "common/base/limits.h"
#include "paramo/v1/data.pb.h"
#include "tests/integration/cluster/counted_cluster.h"

namespace paramo::test {
namespace {

using ::testing::Each;

// Few shards, so that each has enough of the 200 keys for its list to count.
constexpr int kShards = 4;

class KeyListsTest : public CountedClusterTest {
 protected:
  KeyListsTest()
      : CountedClusterTest({.servers = 2, .replicas = 2, .shards = kShards}) {}
  explicit KeyListsTest(ClusterOptions options)
      : CountedClusterTest(std::move(options)) {}

  void Push() {
    auto ack = table_->Push(keys_, ones_);
    ASSERT_TRUE(ack.ok()) << ack.status().ToString();
  }
  double Sum(const std::function<double(const Peer&)>& of) const {
    double sum = 0;
    for (int i = 0; i < cluster_.servers(); ++i) sum += of(cluster_.server(i));
    return sum;
  }
  double Expanded() const {
    return Sum([](const Peer& server) {
      return server.Metric("paramo_key_lists_expanded_total");
    });
  }
  double NeedKeys() const {
    return Sum([](const Peer& server) { return server.Refused("need_keys"); });
  }

  // Has the server see more lists than it can remember.
  static void Flood(const Peer& server) {
    std::vector<uint64_t> keys(kKeyListKeysMax);
    const size_t list_bytes = keys.size() * sizeof(uint64_t);
    for (size_t at = 0; at <= kKeyListsBytesMax; at += list_bytes) {
      std::iota(keys.begin(), keys.end(), at);
      v1::Request request;
      *request.add_pull() = SimpleSection(/*table=*/1, keys);
      request.mutable_pull(0)->set_shard(kShards);  // there is none: refused
      auto reply = server.Pull(request);
      ASSERT_TRUE(reply.ok()) << reply.status();
    }
    EXPECT_LE(server.Metric("paramo_key_list_bytes"), kKeyListsBytesMax);
  }
};

TEST_F(KeyListsTest, AListGoesOnceAndThenAsItsHash) {
  const auto bytes_of = [this](auto call) {
    const uint64_t before = client_->stats().bytes_sent;
    call();
    return client_->stats().bytes_sent - before;
  };
  const uint64_t whole = bytes_of([this] { Push(); });
  EXPECT_EQ(Expanded(), 0);
  const uint64_t named = bytes_of([this] { Push(); });
  EXPECT_EQ(Expanded(), kShards);
  // 8 bytes a key, and a tag and a length for each shard; 26 bytes instead.
  EXPECT_EQ(whole - named, 8 * keys_.size() + kShards * (4 - 26));
  // The list of a push is that of a pull.
  EXPECT_THAT(Rows(), Each(-2));
  EXPECT_EQ(Expanded(), 2 * kShards);
  EXPECT_EQ(NeedKeys(), 0);
}

TEST_F(KeyListsTest, AListThatServersForgotCostsOneRoundTrip) {
  Push();
  Push();
  EXPECT_EQ(Expanded(), kShards);
  for (int i = 0; i < 2; ++i) Flood(cluster_.server(i));
  const ClusterStats before = client_->stats();
  Push();
  EXPECT_EQ(NeedKeys(), kShards);
  EXPECT_EQ(client_->stats().requests - before.requests, 4u);
  EXPECT_EQ(client_->stats().retries - before.retries, uint64_t{kShards});
  EXPECT_THAT(Rows(), Each(-3));
  // After a while the client tries again what has worked before.
  int pushes = 3;
  const auto again = [&] { return Expanded() > kShards; };
  for (; !again() && pushes < 1000; ++pushes) Push();
  EXPECT_TRUE(again());
  EXPECT_EQ(NeedKeys(), kShards);
  EXPECT_THAT(Rows(), Each(-pushes));
}

TEST_F(KeyListsTest, AFailoverBetweenTwoRepeatsIsNoError) {
  ASSERT_TRUE(WaitUntil([&] { return InSync(2); }));
  StartLoad();
  for (int victim = 0; victim < 2; ++victim) {
    WaitForPushes(20);
    EXPECT_GT(Expanded(), 0);
    EXPECT_EQ(cluster_.StopServer(victim, SIGKILL),
              "killed by signal 9 (Killed)");
    WaitForPushes(20);
    cluster_.StartServer(victim);
    EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
  }
  StopLoad();
  EXPECT_THAT(Rows(), Each(-pushed()));
}

class OneServerTest : public KeyListsTest {
 protected:
  OneServerTest() : KeyListsTest({.servers = 1, .shards = kShards}) {}
};

// What is logged has the keys: it is replayed by a server that knows no list.
TEST_F(OneServerTest, ARestartBetweenTwoRepeatsIsNoError) {
  StartLoad();
  for (int restart = 0; restart < 2; ++restart) {
    WaitForPushes(20);
    EXPECT_GT(Expanded(), 0);
    EXPECT_EQ(cluster_.StopServer(0, SIGKILL), "killed by signal 9 (Killed)");
    cluster_.StartServer(0);
    WaitForPushes(20);
  }
  StopLoad();
  EXPECT_THAT(Rows(), Each(-pushed()));
}

}  // namespace
}  // namespace paramo::test
