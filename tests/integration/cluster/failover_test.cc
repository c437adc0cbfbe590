// Servers that die under load while every shard has another replica.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using ::testing::Each;

class FailoverTest : public ::testing::Test {
 protected:
  FailoverTest()
      : cluster_({.servers = 3, .replicas = 2}), client_(cluster_.Connect()) {
    TableSpec spec;
    spec.name = "counted";
    spec.dim = 1;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    auto table = client_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    table_ = *table;
  }

  // One push at a time to keys of every shard; each row is minus the number
  // of pushes applied to it.
  void Load() {
    while (!stop_.load()) {
      const absl::Time start = absl::Now();
      auto ack = table_->Push(keys_, ones_);
      ASSERT_TRUE(ack.ok()) << ack.status().ToString();
      worst_ = std::max(worst_, absl::Now() - start);
      pushed_.fetch_add(1);
    }
  }
  void WaitForPushes(int more) {
    const int before = pushed_.load();
    EXPECT_TRUE(WaitUntil([&] { return pushed_.load() >= before + more; }))
        << "the load stands still";
  }
  bool InSync(int replicas) {
    auto state = cluster_.coordinator().State();
    if (!state.ok()) return false;
    return std::all_of(state->shards().begin(), state->shards().end(),
                       [&](const v1::Shard& shard) {
                         return shard.in_sync_size() == replicas &&
                                !shard.fencing();
                       });
  }
  std::vector<float> Rows() {
    std::vector<float> rows(keys_.size());
    Status pulled = table_->Pull(keys_, rows);
    EXPECT_TRUE(pulled.ok()) << pulled.ToString();
    return rows;
  }

  TestCluster cluster_;
  std::unique_ptr<Cluster> client_;
  std::optional<Table> table_;
  std::vector<uint64_t> keys_ = [] {
    std::vector<uint64_t> keys(200);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
    return keys;
  }();
  const std::vector<float> ones_ = std::vector<float>(200, 1);
  std::atomic<bool> stop_{false};
  std::atomic<int> pushed_{0};
  absl::Duration worst_;
};

TEST_F(FailoverTest, EveryShardHasTwoReplicasAndAcknowledgesWithBoth) {
  EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
  auto ack = table_->Push(keys_, ones_);
  ASSERT_TRUE(ack.ok()) << ack.status().ToString();
  EXPECT_EQ(ack->replicas, 2u);
  EXPECT_THAT(Rows(), Each(-1));
}

// G1 and G2: nothing acknowledged is lost, nothing is applied twice.
TEST_F(FailoverTest, ADeadServerCostsATakeoverAndNothingElse) {
  ASSERT_TRUE(WaitUntil([&] { return InSync(2); }));
  std::thread load([&] { Load(); });
  for (int victim = 0; victim < 3; ++victim) {
    WaitForPushes(20);
    EXPECT_EQ(cluster_.StopServer(victim, SIGKILL),
              "killed by signal 9 (Killed)");
    WaitForPushes(20);  // without it
    cluster_.StartServer(victim);
    EXPECT_TRUE(WaitUntil([&] { return InSync(2); }))
        << "the replicas are not whole again after victim " << victim;
  }
  WaitForPushes(20);
  stop_.store(true);
  load.join();
  EXPECT_THAT(Rows(), Each(-pushed_.load()));
  RecordProperty("worst_ms",
                 static_cast<int>(absl::ToInt64Milliseconds(worst_)));
}

}  // namespace
}  // namespace paramo::test
