// The client library over the network against a model: what was pushed is what
// is there, whatever happened to servers meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <map>
#include <thread>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

constexpr uint32_t kDim = 3;
constexpr uint64_t kSharedKeys = 500;  // pushed by every thread
constexpr uint64_t kOwnKeys = 100;     // of each thread, behind the shared ones

using Row = std::array<float, kDim>;
using Model = std::map<uint64_t, Row>;  // sums of the gradients

// Some keys in no order, some of them twice.
std::vector<uint64_t> DrawKeys(BitGen& gen, int thread) {
  std::vector<uint64_t> keys(1 + gen.Below(60));
  for (uint64_t& key : keys) {
    key = gen.Below(2) == 0
              ? gen.Below(kSharedKeys)
              : kSharedKeys + thread * kOwnKeys + gen.Below(kOwnKeys);
  }
  return keys;
}

// Whole numbers: their sums are exact in any order.
std::vector<float> DrawGradients(BitGen& gen, size_t n) {
  std::vector<float> grads(n * kDim);
  for (float& grad : grads) grad = static_cast<float>(gen.Below(21)) - 10;
  return grads;
}

void Add(Model& model, const std::vector<uint64_t>& keys,
         const std::vector<float>& grads) {
  for (size_t i = 0; i < keys.size(); ++i) {
    Row& row = model.emplace(keys[i], Row{}).first->second;
    for (uint32_t d = 0; d < kDim; ++d) row[d] += grads[i * kDim + d];
  }
}

class ClientModelTest : public ::testing::Test {
 protected:
  ClientModelTest() : client_(cluster_.Connect()) {
    TableSpec spec;
    spec.name = "model";
    spec.dim = kDim;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    auto table = client_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    table_.emplace(*table);
  }

  // A row of a key that only this thread pushes to: known at any time.
  void ExpectOwnRows(int thread, const Model& model) {
    std::vector<uint64_t> keys;
    for (uint64_t i = 0; i < kOwnKeys; ++i) {
      keys.push_back(kSharedKeys + thread * kOwnKeys + i);
    }
    ExpectRows(keys, model);
  }
  void ExpectRows(const std::vector<uint64_t>& keys, const Model& model) {
    std::vector<float> rows(keys.size() * kDim);
    const Status pulled = table_->Pull(keys, rows);
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto found = model.find(keys[i]);
      const Row sum = found == model.end() ? Row{} : found->second;
      for (uint32_t d = 0; d < kDim; ++d) {
        ASSERT_EQ(rows[i * kDim + d], -sum[d]) << "key " << keys[i];
      }
    }
  }

  // One thread's life: random pushes, PushPulls and checks until `stop`.
  void Live(int thread, const std::function<bool(int step)>& stop,
            Model& model) {
    BitGen gen(100 + thread);
    for (int step = 0; !stop(step) && !HasFatalFailure(); ++step) {
      const std::vector<uint64_t> keys = DrawKeys(gen, thread);
      const std::vector<float> grads = DrawGradients(gen, keys.size());
      if (gen.Below(3) == 0) {
        std::vector<float> rows(keys.size() * kDim);
        auto ack = table_->PushPull(keys, grads, keys, rows);
        ASSERT_TRUE(ack.ok()) << ack.status().ToString();
      } else {
        auto ack = table_->Push(keys, grads);
        ASSERT_TRUE(ack.ok()) << ack.status().ToString();
      }
      Add(model, keys, grads);
      if (gen.Below(8) == 0) ExpectOwnRows(thread, model);
    }
  }

  // Runs `threads` lives while `disturb` runs here; then compares everything.
  void Run(int threads, const std::function<bool(int step)>& stop,
           const std::function<void()>& disturb) {
    std::vector<Model> models(threads);
    std::vector<std::thread> lives;
    for (int i = 0; i < threads; ++i) {
      lives.emplace_back([&, i] { Live(i, stop, models[i]); });
    }
    disturb();
    for (std::thread& life : lives) life.join();
    Model all;
    for (const Model& model : models) {
      for (const auto& [key, row] : model) {
        Row& sum = all.emplace(key, Row{}).first->second;
        for (uint32_t d = 0; d < kDim; ++d) sum[d] += row[d];
      }
    }
    std::vector<uint64_t> keys;
    for (uint64_t key = 0; key < kSharedKeys + threads * kOwnKeys; ++key) {
      keys.push_back(key);
    }
    ExpectRows(keys, all);
    EXPECT_EQ(cluster_.Checksum(table_->info().id).first, all.size());
  }

  TestCluster cluster_;
  std::unique_ptr<Cluster> client_;
  std::optional<Table> table_;
};

TEST_F(ClientModelTest, ManyThreadsAgreeWithTheModel) {
  Run(
      4, [](int step) { return step == 400; }, [] {});
  EXPECT_EQ(client_->stats().retries, 0u);
}

TEST_F(ClientModelTest, NoPushIsLostOrDoubledWhileServersRestart) {
  std::atomic<bool> done{false};
  Run(
      3, [&](int) { return done.load(); },
      [&] {
        for (int server = 0; server < 3; ++server) {
          EXPECT_EQ(cluster_.StopServer(server, SIGTERM), "exit status 0");
          cluster_.StartServer(server);
          // Pushes reach it again before the next one goes.
          EXPECT_TRUE(WaitUntil([&] {
            return cluster_.server(server).Metric("paramo_push_rows_total") >
                   100;
          }));
        }
        done = true;
      });
  EXPECT_GT(client_->stats().retries, 0u);
}

// A frozen server: connections live, nobody answers. Answers given while it
// was frozen are unknown; what it does afterwards it does once.
TEST_F(ClientModelTest, NoPushIsDoubledByAServerThatFreezes) {
  std::atomic<bool> done{false};
  Run(
      3, [&](int) { return done.load(); },
      [&] {
        for (int round = 0; round < 3; ++round) {
          const double before =
              cluster_.server(round).Metric("paramo_push_rows_total");
          cluster_.Signal(round, SIGSTOP);
          const uint64_t sent = client_->stats().requests;
          WaitUntil([&] { return client_->stats().requests > sent + 3; },
                    absl::Milliseconds(500));
          cluster_.Signal(round, SIGCONT);
          EXPECT_TRUE(WaitUntil([&] {
            return cluster_.server(round).Metric("paramo_push_rows_total") >
                   before + 100;
          }));
        }
        done = true;
      });
}

// ---- Errors -----------------------------------------------------------------

TEST_F(ClientModelTest, AnUnansweredCallEndsAtItsDeadlineAndSaysEverything) {
  std::vector<uint64_t> keys(100);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  const std::vector<float> grads(keys.size() * kDim, 1);
  ASSERT_TRUE(table_->Push(keys, grads).ok());
  cluster_.Signal(1, SIGSTOP);
  PushOptions options;
  options.deadline = std::chrono::milliseconds(300);
  const absl::Time start = absl::Now();
  auto ack = table_->Push(keys, grads, options);
  const absl::Duration took = absl::Now() - start;
  cluster_.Signal(1, SIGCONT);
  ASSERT_FALSE(ack.ok());
  const Status& status = ack.status();
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_GE(took, absl::Milliseconds(300));
  EXPECT_LT(took, absl::Milliseconds(800));
  EXPECT_EQ(status.applied(), Applied::kUnknown);
  EXPECT_EQ(status.table(), "model");
  EXPECT_EQ(status.endpoint(), cluster_.server(1).address());
  EXPECT_GE(status.attempts(), 1);
  EXPECT_NE(status.hint(), "");
  for (const std::string& word :
       {std::string("model"), cluster_.server(1).address(), status.hint()}) {
    EXPECT_THAT(status.ToString(), ::testing::HasSubstr(word));
  }
}

TEST_F(ClientModelTest, ARefusalSaysThatNothingWasApplied) {
  ASSERT_TRUE(client_->DropTable("model").ok());
  const std::vector<uint64_t> keys = {1, 2, 3};
  auto ack = table_->Push(keys, std::vector<float>(9, 1));
  ASSERT_FALSE(ack.ok());
  EXPECT_EQ(ack.status().code(), Code::kNotFound);
  EXPECT_EQ(ack.status().applied(), Applied::kNo);
  EXPECT_EQ(ack.status().table(), "model");
  EXPECT_NE(ack.status().hint(), "");
}

}  // namespace
}  // namespace paramo::test
