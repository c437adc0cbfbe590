// Peers that all come at once, again and again (O1): the server goes on
// serving others, and our own clients do not make it worse.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "paramo/cluster.h"
#include "tests/integration/bad_input/bad_input_testing.h"
#include "tests/integration/bad_input/http2.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo::test {
namespace {

class FloodTest : public BadInputTest {
 protected:
  // Those hung up on at once, because their peer had too many, included.
  static double Arrived() {
    return server().Metric("paramo_connections_accepted_total") +
           server().Metric("paramo_connections_refused_total");
  }
};

// Ten thousand clients connect, say what HTTP/2 wants, and go, from four
// addresses at once; somebody else pushes and pulls all the while.
TEST_F(FloodTest, O1_AReconnectStormKeepsNobodyOut) {
  constexpr int kAddresses = 4;
  constexpr int kEach = 2500;
  // The test's and the coordinator's, which may be connecting anew just now.
  const double open = std::max(2.0, server().Metric("paramo_connections"));
  const double before = Arrived();
  std::atomic<int> storming{kAddresses};
  std::vector<std::thread> storm;
  for (int address = 0; address < kAddresses; ++address) {
    storm.emplace_back([&storming, address] {
      const std::string source = absl::StrCat("127.0.0.", 10 + address);
      for (int i = 0; i < kEach; ++i) {
        RawSocket peer(port(), source.c_str());
        peer.Send(kHttp2Preface + Http2Frame(kSettingsFrame, 0, 0, ""));
      }
      --storming;
    });
  }
  int served = 0;
  absl::Duration worst;
  while (storming > 0) {
    const absl::Time start = absl::Now();
    ExpectServing();
    worst = std::max(worst, absl::Now() - start);
    ++served;
  }
  for (std::thread& thread : storm) thread.join();
  EXPECT_GT(served, 10);
  EXPECT_LT(worst, absl::Seconds(5));
  RecordProperty("served", served);
  RecordProperty("worst_ms",
                 static_cast<int>(absl::ToInt64Milliseconds(worst)));
  EXPECT_TRUE(
      WaitUntil([&] { return Arrived() >= before + kAddresses * kEach; }));
  EXPECT_TRUE(
      WaitUntil([&] { return server().Metric("paramo_connections") <= open; }));
  SetUp();  // what was served meanwhile is not the question
  ExpectUnharmed(64 * kMiB);
}

// A client that pushes one row as fast as it is answered, until told to stop.
class Pusher {
 public:
  Pusher(TestCluster& cluster, uint64_t key)
      : client_(cluster.Connect()), table_(client_->OpenTable("herd")) {
    EXPECT_TRUE(table_.ok()) << table_.status().ToString();
    thread_ = std::thread([this, key] {
      const std::vector<uint64_t> keys = {key};
      const std::vector<float> gradient = {1};
      while (!stop_) {
        const Result<PushAck> ack = table_->Push(keys, gradient);
        EXPECT_TRUE(ack.ok()) << ack.status().ToString();
        if (!ack.ok()) return;
        ++pushed_;
      }
    });
  }
  void Stop() {
    stop_ = true;
    thread_.join();
  }
  int pushed() const { return pushed_; }
  ClusterStats stats() const { return client_->stats(); }
  float Row(uint64_t key) {
    std::vector<float> row(1);
    const Status pulled = table_->Pull(std::vector<uint64_t>{key}, row);
    EXPECT_TRUE(pulled.ok()) << pulled.ToString();
    return row[0];
  }

 private:
  std::unique_ptr<Cluster> client_;
  Result<Table> table_;
  std::atomic<bool> stop_{false};
  std::atomic<int> pushed_{0};
  std::thread thread_;
};

// Forty clients lose a server in the same instant and find the next one in the
// same instant. Each push counts once, and nobody asks much more than needed.
TEST(HerdTest, O1_AHerdAfterAFailoverIsServed) {
  TestCluster cluster({.servers = 3, .replicas = 2});
  ASSERT_TRUE(cluster.coordinator().CreateTable(CountingTable("herd", 1)).ok());
  ASSERT_TRUE(WaitUntil([&] {
    auto state = cluster.coordinator().State();
    return state.ok() &&
           std::all_of(state->shards().begin(), state->shards().end(),
                       [](const v1::Shard& shard) {
                         return shard.in_sync_size() == 2;
                       });
  }));
  constexpr int kClients = 40;
  std::vector<std::unique_ptr<Pusher>> herd;
  for (int i = 0; i < kClients; ++i) {
    herd.push_back(std::make_unique<Pusher>(cluster, i));
  }
  const auto all_go_on = [&herd] {
    std::vector<int> before;
    for (const auto& pusher : herd) before.push_back(pusher->pushed());
    return WaitUntil([&] {
      for (size_t i = 0; i < herd.size(); ++i) {
        if (herd[i]->pushed() < before[i] + 5) return false;
      }
      return true;
    });
  };
  EXPECT_TRUE(all_go_on());
  EXPECT_EQ(cluster.StopServer(0, SIGKILL), "killed by signal 9 (Killed)");
  EXPECT_TRUE(all_go_on());

  uint64_t retries = 0;
  for (int i = 0; i < kClients; ++i) {
    herd[i]->Stop();
    EXPECT_EQ(herd[i]->Row(i), -herd[i]->pushed()) << "client " << i;
    retries += herd[i]->stats().retries;
    // 5, 10, 20, 40, then 160 to 320 ms: within the 20 s that all_go_on waits
    // at most, a hundred; without waiting it would be thousands.
    EXPECT_LT(herd[i]->stats().retries, 60u) << "client " << i;
  }
  RecordProperty("retries", static_cast<int>(retries));
}

}  // namespace
}  // namespace paramo::test
