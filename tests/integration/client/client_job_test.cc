// Jobs: membership, clocks, rounds, leases, barriers.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "common/base/limits.h"
#include "paramo/job.h"
#include "tests/integration/client/local_cluster.h"

namespace paramo {
namespace {

class ClientJobTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { servers_ = new LocalCluster(2); }
  static void TearDownTestSuite() {
    delete servers_;
    servers_ = nullptr;
  }

  void SetUp() override {
    for (auto& cluster : clusters_) {
      ConnectOptions options;
      options.addresses = servers_->address();
      auto connected = Cluster::Connect(options);
      ASSERT_TRUE(connected.ok()) << connected.status().ToString();
      cluster = *std::move(connected);
    }
  }

  Tensor MakeTensor(int worker, const std::string& name) {
    TableSpec spec;
    spec.name = name;
    spec.shape = {1000};
    spec.dim = 16;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    spec.seed = 1;
    auto tensor = clusters_[worker]->CreateTensor(spec);
    EXPECT_TRUE(tensor.ok()) << tensor.status().ToString();
    return *tensor;
  }

  static JobSpec Spec(const std::string& name, Sync sync, uint32_t workers) {
    JobSpec spec;
    spec.name = name;
    spec.sync = sync;
    spec.workers = workers;
    spec.epochs = 1;
    spec.examples = 100;
    spec.batch = 10;
    spec.batches_per_data_shard = 2;
    return spec;
  }

  std::unique_ptr<Job> Join(int worker, const JobSpec& spec) {
    auto created = clusters_[worker]->CreateJob(spec);
    EXPECT_TRUE(created.ok()) << created.status().ToString();
    auto job = Job::Join(*clusters_[worker], spec.name);
    EXPECT_TRUE(job.ok()) << job.status().ToString();
    return *std::move(job);
  }

  static LocalCluster* servers_;
  std::unique_ptr<Cluster> clusters_[2];
};

LocalCluster* ClientJobTest::servers_ = nullptr;

TEST_F(ClientJobTest, ABspRoundIsTheMeanOverItsExamples) {
  const JobSpec spec = Spec("bsp-mean", Sync::kBsp, 2);
  const Tensor tensors[2] = {MakeTensor(0, "bsp-w"), MakeTensor(1, "bsp-w")};
  std::unique_ptr<Job> jobs[2] = {Join(0, spec), Join(1, spec)};
  EXPECT_NE(jobs[0]->rank(), jobs[1]->rank());

  constexpr int kSteps = 5;
  std::vector<float> seen[2];
  std::vector<std::string> errors[2];
  auto work = [&](int w) {
    std::vector<float> values(1000);
    // Worker 0 has 10 examples of gradient 1, worker 1 has 30 of gradient 2:
    // the mean is (10 * 1 + 30 * 2) / 40 = 1.75.
    const std::vector<float> grads(1000, w == 0 ? 1.0f : 2.0f);
    for (int step = 0; step < kSteps; ++step) {
      const uint64_t clock = jobs[w]->first_clock() + step;
      const std::vector<PullPart> pull = {{tensors[w], values}};
      const Status pulled = jobs[w]->Pull(pull, clock);
      if (!pulled.ok()) errors[w].push_back(pulled.ToString());
      seen[w].push_back(values[999]);
      StepOptions options;
      options.clock = clock;
      options.examples = w == 0 ? 10 : 30;
      const std::vector<PushPart> push = {{tensors[w], grads}};
      auto ack = jobs[w]->Push(push, options);
      if (!ack.ok()) errors[w].push_back(ack.status().ToString());
    }
  };
  std::thread other([&] { work(1); });
  work(0);
  other.join();
  for (int w = 0; w < 2; ++w) {
    EXPECT_TRUE(errors[w].empty()) << errors[w][0];
    for (int step = 0; step < kSteps; ++step) {
      EXPECT_EQ(seen[w][step], -1.75f * step) << "worker " << w;
    }
  }
  EXPECT_TRUE(jobs[0]->Leave().ok());
  EXPECT_TRUE(jobs[1]->Leave().ok());
}

// More pulls than a stream has places, all held until the other worker has
// ended its step. Both workers share a client: its push must come through at
// once.
TEST_F(ClientJobTest, PullsThatWaitDoNotHoldUpThePushTheyWaitFor) {
  constexpr int kPulls = 2 * kStreamInFlightMax;
  const JobSpec spec = Spec("bsp-crowd", Sync::kBsp, 2);
  const Tensor tensor = MakeTensor(0, "crowd-w");
  std::unique_ptr<Job> jobs[2] = {Join(0, spec), Join(0, spec)};
  const std::vector<float> grads(1000, 1);
  const std::vector<PushPart> push = {{tensor, grads}};
  StepOptions options;
  ASSERT_TRUE(jobs[0]->Push(push, options).ok());

  std::vector<std::vector<float>> values(kPulls, std::vector<float>(1000));
  std::vector<Future<Status>> pulls;
  for (std::vector<float>& out : values) {
    const std::vector<PullPart> pull = {{tensor, out}};
    pulls.push_back(jobs[0]->PullAsync(pull, /*clock=*/1));
  }
  options.deadline = std::chrono::seconds(10);
  const Result<PushAck> freed = jobs[1]->Push(push, options);
  EXPECT_TRUE(freed.ok()) << freed.status().ToString();
  for (int i = 0; i < kPulls; ++i) {
    const Status pulled = pulls[i].get();
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    EXPECT_EQ(values[i][999], -1);
  }
  for (auto& job : jobs) EXPECT_TRUE(job->Leave().ok());
}

TEST_F(ClientJobTest, NobodyWaitsForAMemberThatLeft) {
  const JobSpec spec = Spec("bsp-leave", Sync::kBsp, 2);
  const Tensor tensor = MakeTensor(0, "leave-w");
  std::unique_ptr<Job> stays = Join(0, spec);
  std::unique_ptr<Job> goes = Join(1, spec);
  const std::vector<float> grads(1000, 1);
  std::vector<float> values(1000);
  const std::vector<PushPart> push = {{tensor, grads}};
  const std::vector<PullPart> pull = {{tensor, values}};
  StepOptions options;
  options.clock = stays->first_clock();
  ASSERT_TRUE(stays->Push(push, options).ok());
  Future<Status> next = stays->PullAsync(pull, options.clock + 1);
  EXPECT_FALSE(next.wait_for(std::chrono::milliseconds(100)));
  EXPECT_EQ(clusters_[0]->stats().parked.count(), 0);
  ASSERT_TRUE(goes->Leave().ok());
  const Status pulled = next.get();
  ASSERT_TRUE(pulled.ok()) << pulled.ToString();
  EXPECT_EQ(values[0], -1);
  EXPECT_GT(clusters_[0]->stats().parked.count(),
            0);  // once, though on many shards
  EXPECT_LT(clusters_[0]->stats().parked, std::chrono::seconds(60));
}

TEST_F(ClientJobTest, DataIsLeasedOnceAndWholly) {
  const JobSpec spec = Spec("leases", Sync::kAsync, 1);
  std::unique_ptr<Job> job = Join(0, spec);
  // 100 examples in batches of 10, two per data shard: 5 data shards.
  std::vector<bool> seen(5, false);
  std::vector<DataPosition> held;
  bool exhausted = false;
  while (!exhausted || !held.empty()) {
    for (DataPosition& position : held) {
      position.batches_done = 2;
      position.finished = true;
    }
    auto leases = job->LeaseData(held, 2);
    ASSERT_TRUE(leases.ok()) << leases.status().ToString();
    held = leases->leases;
    for (const DataPosition& lease : held) {
      ASSERT_LT(lease.data_shard, 5u);
      EXPECT_FALSE(seen[lease.data_shard]);
      seen[lease.data_shard] = true;
    }
    ASSERT_TRUE(leases->exhausted || !held.empty());  // nobody else has any
    exhausted = leases->exhausted;
  }
  EXPECT_EQ(seen, std::vector<bool>(5, true));
  auto report = job->Describe();
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->data_shards, 5u);
  EXPECT_EQ(report->data_shards_finished, 5u);
  EXPECT_TRUE(job->Leave().ok());
}

TEST_F(ClientJobTest, ABarrierWaitsForEverybody) {
  const JobSpec spec = Spec("barrier", Sync::kAsync, 2);
  std::unique_ptr<Job> a = Join(0, spec);
  std::unique_ptr<Job> b = Join(1, spec);
  const Status alone = a->Barrier("first", std::chrono::milliseconds(200));
  EXPECT_EQ(alone.code(), Code::kDeadlineExceeded);
  Status of_b;
  std::thread other(
      [&] { of_b = b->Barrier("second", std::chrono::seconds(10)); });
  const Status of_a = a->Barrier("second", std::chrono::seconds(10));
  other.join();
  EXPECT_TRUE(of_a.ok()) << of_a.ToString();
  EXPECT_TRUE(of_b.ok()) << of_b.ToString();
}

TEST_F(ClientJobTest, ReportsReachTheCoordinator) {
  const JobSpec spec = Spec("progress", Sync::kAsync, 2);
  std::unique_ptr<Job> stays = Join(0, spec);
  std::unique_ptr<Job> goes = Join(1, spec);
  WorkerProgress progress;
  progress.clock = 12;
  progress.examples = 345;
  progress.loss = 0.5;
  goes->Report(progress);
  EXPECT_TRUE(goes->Leave("tired").ok());  // carries the last word
  auto report = stays->Describe();
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->examples, 345u);
  ASSERT_EQ(report->workers.size(), 2u);
  for (const WorkerReport& worker : report->workers) {
    if (worker.worker != goes->rank()) continue;
    EXPECT_FALSE(worker.live);
    EXPECT_EQ(worker.left_because, "tired");
    EXPECT_EQ(worker.progress.clock, 12u);
    EXPECT_EQ(worker.progress.loss, 0.5);
  }
}

TEST_F(ClientJobTest, AnUnknownJobIsNotFound) {
  EXPECT_EQ(Job::Join(*clusters_[0], "nowhere").status().code(),
            Code::kNotFound);
}

}  // namespace
}  // namespace paramo
