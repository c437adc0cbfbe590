// What the client does while servers stop, come back, or say nothing.
#include <signal.h>

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "paramo/cluster.h"
#include "tests/integration/client/local_cluster.h"

namespace paramo {
namespace {

class ClientFailureTest : public testing::Test {
 protected:
  ClientFailureTest() : servers_(2) {
    ConnectOptions options;
    options.addresses = servers_.address();
    options.log = [this](const std::string& line) {
      std::lock_guard<std::mutex> lock(mu_);
      log_ += line + "\n";
    };
    auto cluster = Cluster::Connect(options);
    EXPECT_TRUE(cluster.ok()) << cluster.status().ToString();
    cluster_ = *std::move(cluster);
    TableSpec spec;
    spec.name = "t";
    spec.dim = 1;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    auto table = cluster_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    table_.emplace(*table);
    for (uint64_t key = 0; key < 100; ++key) keys_.push_back(key);
  }

  std::string log() {
    std::lock_guard<std::mutex> lock(mu_);
    return log_;
  }
  void ExpectRows(float value) {
    std::vector<float> rows(keys_.size());
    const Status pulled = table_->Pull(keys_, rows);
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    EXPECT_EQ(rows, std::vector<float>(keys_.size(), value));
  }

  LocalCluster servers_;
  std::mutex mu_;
  std::string log_;
  std::unique_ptr<Cluster> cluster_;
  std::optional<Table> table_;
  std::vector<uint64_t> keys_;
  const std::vector<float> ones_ = std::vector<float>(100, 1);
};

TEST_F(ClientFailureTest, PushesWaitForAServerThatRestartsAndCountOnce) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(table_->Push(keys_, ones_).ok());
  servers_.server(0).Signal(SIGTERM);
  EXPECT_EQ(servers_.server(0).Wait(), 0);
  std::vector<Future<Result<PushAck>>> acks;
  for (int i = 0; i < 20; ++i) acks.push_back(table_->PushAsync(keys_, ones_));
  servers_.StartServer(0);
  for (auto& future : acks) {
    auto ack = future.get();
    ASSERT_TRUE(ack.ok()) << ack.status().ToString();
  }
  ExpectRows(-40);
  EXPECT_GT(cluster_->stats().retries, 0u);
}

TEST_F(ClientFailureTest, ASilentServerEndsAtTheDeadlineAndWedgesNothing) {
  ASSERT_TRUE(table_->Push(keys_, ones_).ok());
  servers_.server(1).Pause();
  PushOptions options;
  options.deadline = std::chrono::milliseconds(400);
  auto push = table_->Push(keys_, ones_, options);
  EXPECT_EQ(push.status().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(push.status().applied(), Applied::kUnknown);
  EXPECT_GE(push.status().elapsed().count(), 400);
  PullOptions pull;
  pull.deadline = std::chrono::milliseconds(200);
  std::vector<float> rows(keys_.size());
  EXPECT_EQ(table_->Pull(keys_, rows, pull).code(), Code::kDeadlineExceeded);
  servers_.server(1).Signal(SIGCONT);
  // Later pushes go through; the given up one counts once or not at all.
  for (int i = 0; i < 50; ++i) {
    auto ack = table_->Push(keys_, ones_);
    ASSERT_TRUE(ack.ok()) << ack.status().ToString();
  }
  ASSERT_TRUE(table_->Pull(keys_, rows).ok());
  for (float row : rows) EXPECT_TRUE(row == -51 || row == -52) << row;
}

TEST_F(ClientFailureTest, ALongWaitSaysWhatItWaitsFor) {
  servers_.server(1).Pause();
  PullOptions options;
  options.deadline = std::chrono::milliseconds(5500);
  std::vector<float> rows(keys_.size());
  const Status pulled = table_->Pull(keys_, rows, options);
  servers_.server(1).Signal(SIGCONT);
  EXPECT_EQ(pulled.code(), Code::kDeadlineExceeded);
  EXPECT_NE(log().find("pull of table t has waited 5.0 s"), std::string::npos)
      << log();
}

TEST_F(ClientFailureTest, DestroyingTheClusterCancelsWhatWaits) {
  servers_.server(1).Pause();
  std::vector<float> rows(keys_.size());
  Future<Status> pull = table_->PullAsync(keys_, rows);
  table_.reset();
  cluster_.reset();
  servers_.server(1).Signal(SIGCONT);
  EXPECT_EQ(pull.get().code(), Code::kCancelled);
}

}  // namespace
}  // namespace paramo
