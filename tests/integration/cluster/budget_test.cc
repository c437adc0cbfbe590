// A table ten times its memory budget on real servers that are killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "paramo/v1/admin.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

constexpr uint64_t kRows = 20'000;
constexpr uint32_t kDim = 4;
constexpr uint64_t kRowBytes = 32 + 4 * kDim;
constexpr uint64_t kSeed = 41;

class BudgetTest : public ::testing::Test {
 protected:
  BudgetTest()
      : cluster_({.servers = 2, .replicas = 2, .shards = 8}),
        client_(cluster_.Connect()) {
    SCOPED_TRACE(kSeed);
    TableSpec spec;
    spec.name = "cold";
    spec.dim = kDim;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    spec.memory_budget = kRows * kRowBytes / 10;
    auto table = client_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    table_ = *table;
  }

  // Whole numbers to keys of which some come often: each push is acknowledged,
  // so each counts.
  void PushRandomly(int pushes) {
    for (int i = 0; i < pushes; ++i) {
      std::vector<uint64_t> keys(200);
      std::vector<float> grads;
      for (uint64_t& key : keys) {
        key = static_cast<uint64_t>(
            std::pow(static_cast<double>(kRows), gen_.Uniform()));
        const float grad = static_cast<float>(gen_.Below(5)) - 2;
        expected_[key] -= grad;
        grads.insert(grads.end(), kDim, grad);
      }
      auto ack = table_->Push(keys, grads);
      ASSERT_TRUE(ack.ok()) << ack.status().ToString();
    }
  }
  void PushEveryRow() {
    for (uint64_t at = 0; at < kRows; at += 1000) {
      std::vector<uint64_t> keys;
      for (uint64_t key = at; key < at + 1000; ++key) keys.push_back(key);
      for (const uint64_t key : keys) expected_[key] -= 1;
      auto ack = table_->Push(keys, std::vector<float>(1000 * kDim, 1));
      ASSERT_TRUE(ack.ok()) << ack.status().ToString();
    }
  }
  void ExpectEverySum() {
    std::vector<uint64_t> keys;
    std::vector<float> wanted;
    for (const auto& [key, sum] : expected_) {
      keys.push_back(key);
      wanted.insert(wanted.end(), kDim, sum);
    }
    std::vector<float> rows(wanted.size());
    Status pulled = table_->Pull(keys, rows);
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    size_t wrong = 0;
    for (size_t i = 0; i < rows.size(); ++i) wrong += rows[i] != wanted[i];
    EXPECT_EQ(wrong, 0u) << "of " << rows.size() << ", seed " << kSeed;
  }
  double Resident(int server) {
    return cluster_.server(server).Metric("paramo_resident_row_bytes");
  }
  double Total(int server, const std::string& what) {
    return cluster_.server(server).Metric("paramo_rows_" + what + "_total");
  }
  // Each server has a replica of every shard.
  void ExpectWithinBudget() {
    for (int server = 0; server < 2; ++server) {
      EXPECT_TRUE(WaitUntil([&] {
        return Resident(server) <= kRows * kRowBytes / 10;
      })) << Resident(server)
          << " bytes on server " << server;
    }
  }
  void ExpectNobodyStopped() {
    for (int server = 0; server < 2; ++server) {
      EXPECT_THAT(cluster_.log(server),
                  ::testing::Not(::testing::HasSubstr("has stopped")));
    }
  }
  void Kill(int server) {
    cluster_.StopServer(server, SIGKILL);
    cluster_.StartServer(server);
    cluster_.WaitUntilUp();
  }

  TestCluster cluster_;
  std::unique_ptr<Cluster> client_;
  std::optional<Table> table_;
  std::map<uint64_t, float> expected_;
  BitGen gen_{kSeed};
};

TEST_F(BudgetTest, EverySumIsExactAfterKillsOfServersThatHoldATenth) {
  PushEveryRow();
  ExpectWithinBudget();
  PushRandomly(100);
  for (int server = 0; server < 2; ++server) {
    EXPECT_GT(Total(server, "evicted"), kRows / 2) << "on server " << server;
  }
  EXPECT_GT(Total(0, "fetched") + Total(1, "fetched"), 0);
  const auto before = cluster_.Checksum(table_->info().id);
  EXPECT_EQ(before.first, kRows);
  Kill(0);
  EXPECT_TRUE(WaitUntil(
      [&] { return cluster_.Checksum(table_->info().id) == before; }));
  PushRandomly(100);
  ExpectEverySum();
  Kill(1);
  PushRandomly(100);
  // Both at once: what the store and the logs have is all that there is.
  cluster_.StopServer(0, SIGKILL);
  cluster_.StopServer(1, SIGKILL);
  cluster_.StartServer(0);
  cluster_.StartServer(1);
  cluster_.WaitUntilUp();
  PushRandomly(100);
  ExpectEverySum();
  ExpectWithinBudget();
  ExpectNobodyStopped();
}

}  // namespace
}  // namespace paramo::test
