// A cluster under a load that can be counted.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "paramo/v1/cluster.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {

// A cluster, and a load that pushes to it.
class LoadedClusterTest : public ::testing::Test {
 protected:
  explicit LoadedClusterTest(ClusterOptions options)
      : cluster_(std::move(options)), client_(cluster_.Connect()) {}
  void TearDown() override { StopLoad(); }

  // What is pushed again and again.
  virtual Result<PushAck> PushOnce() = 0;

  // One push at a time; none may fail.
  void StartLoad() {
    stop_.store(false);
    load_ = std::thread([this] {
      while (!stop_.load()) {
        const absl::Time start = absl::Now();
        auto ack = PushOnce();
        ASSERT_TRUE(ack.ok()) << ack.status().ToString();
        const int64_t took = absl::ToInt64Microseconds(absl::Now() - start);
        if (took > worst_us_.load()) worst_us_.store(took);
        pushed_.fetch_add(1);
      }
    });
  }
  void StopLoad() {
    stop_.store(true);
    if (load_.joinable()) load_.join();
  }
  void WaitForPushes(int more) {
    const int before = pushed_.load();
    EXPECT_TRUE(WaitUntil([&] { return pushed_.load() >= before + more; }))
        << "the load stands still";
  }
  // The longest that a push took since the last call.
  double TakeWorstMs() {
    return static_cast<double>(worst_us_.exchange(0)) / 1000;
  }

  v1::ClusterState State() {
    auto state = cluster_.coordinator().State();
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? *state : v1::ClusterState();
  }
  bool InSync(int replicas) {
    const v1::ClusterState state = State();
    return std::all_of(state.shards().begin(), state.shards().end(),
                       [&](const v1::Shard& shard) {
                         return shard.in_sync_size() == replicas &&
                                !shard.fencing();
                       });
  }
  int pushed() const { return pushed_.load(); }

  TestCluster cluster_;
  std::unique_ptr<Cluster> client_;

 private:
  std::thread load_;
  std::atomic<bool> stop_{false};
  std::atomic<int> pushed_{0};
  std::atomic<int64_t> worst_us_{0};
};

// Every row is minus the number of pushes that were applied to it.
class CountedClusterTest : public LoadedClusterTest {
 protected:
  explicit CountedClusterTest(ClusterOptions options, uint32_t dim = 1)
      : LoadedClusterTest(std::move(options)), ones_(200 * dim, 1) {
    TableSpec spec;
    spec.name = "counted";
    spec.dim = dim;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    auto table = client_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    table_ = *table;
  }

  // To keys of every shard.
  Result<PushAck> PushOnce() override { return table_->Push(keys_, ones_); }
  std::vector<float> Rows() {
    std::vector<float> rows(ones_.size());
    Status pulled = table_->Pull(keys_, rows);
    EXPECT_TRUE(pulled.ok()) << pulled.ToString();
    return rows;
  }

  std::optional<Table> table_;
  std::vector<uint64_t> keys_ = [] {
    std::vector<uint64_t> keys(200);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
    return keys;
  }();
  std::vector<float> ones_;  // gradients of all keys
};

}  // namespace paramo::test
