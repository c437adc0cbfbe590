// The coordinator steers and is in nobody's way: any server hands out the
// shard map, and training goes on while the coordinator is dead.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <map>

#include "absl/time/clock.h"
#include "paramo/job.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "paramo/v1/data.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

TableSpec Counting(const std::string& name) {
  TableSpec spec;
  spec.name = name;
  spec.dim = 2;
  spec.rule = {"sgd", {{"lr", 1.0}}};
  return spec;
}

class ControlPlaneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (uint64_t key = 0; key < 200; ++key) keys_.push_back(key);
  }
  // Pushes ones, and expects that `pushes` of them have arrived by now.
  void PushAndExpect(const Table& table, int pushes) {
    auto ack = table.Push(keys_, std::vector<float>(400, 1));
    ASSERT_TRUE(ack.ok()) << ack.status().ToString();
    std::vector<float> rows(400);
    const Status pulled = table.Pull(keys_, rows);
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    EXPECT_EQ(rows, std::vector<float>(400, static_cast<float>(-pushes)));
  }

  TestCluster cluster_;
  std::vector<uint64_t> keys_;
};

TEST_F(ControlPlaneTest, EveryServerHandsOutTheSameState) {
  auto client = cluster_.Connect();
  ASSERT_TRUE(client->CreateTable(Counting("t")).ok());
  auto truth = cluster_.coordinator().State();
  ASSERT_TRUE(truth.ok()) << truth.status();
  EXPECT_EQ(truth->shards_size(), 64);
  for (int i = 0; i < 3; ++i) {
    auto state = cluster_.server(i).State();
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_EQ(state->SerializeAsString(), truth->SerializeAsString());
  }
}

TEST_F(ControlPlaneTest, ServersHoldNearEqualSharesOfShardsAndRows) {
  auto state = cluster_.coordinator().State();
  ASSERT_TRUE(state.ok()) << state.status();
  std::map<uint32_t, int> shards;
  for (const v1::Shard& shard : state->shards()) ++shards[shard.primary()];
  EXPECT_EQ(shards.size(), 3u);
  for (const auto& entry : shards) {
    EXPECT_TRUE(entry.second == 21 || entry.second == 22) << entry.second;
  }

  auto client = cluster_.Connect();
  auto table = client->CreateTable(Counting("t"));
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  std::vector<uint64_t> keys(30000);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  ASSERT_TRUE(table->Push(keys, std::vector<float>(60000, 1)).ok());
  for (int i = 0; i < 3; ++i) {
    auto sum = cluster_.server(i).Checksum(table->info().id);
    ASSERT_TRUE(sum.ok()) << sum.status();
    // A third, or 22 of 64 shards at most; and 5 % for the hash.
    EXPECT_GT(sum->rows(), 30000u * 21 / 64 * 0.95);
    EXPECT_LT(sum->rows(), 30000u * 22 / 64 * 1.05);
  }
}

TEST_F(ControlPlaneTest, AServersAddressIsEnoughForAClient) {
  auto maker = cluster_.Connect();
  auto made = maker->CreateTable(Counting("t"));
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  for (int i = 0; i < 3; ++i) {
    auto client = cluster_.Connect(cluster_.server(i).address());
    EXPECT_EQ(client->id(), maker->id());
    auto table = client->OpenTable("t");
    ASSERT_TRUE(table.ok()) << table.status().ToString();
    std::vector<float> rows(400, 7);
    const Status pulled = table->Pull(keys_, rows);
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    EXPECT_EQ(rows, std::vector<float>(400, 0));
  }
}

TEST_F(ControlPlaneTest, PushesAndPullsGoOnWhileTheCoordinatorIsDead) {
  auto client = cluster_.Connect();
  auto table = client->CreateTable(Counting("t"));
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  PushAndExpect(*table, 1);
  auto before = cluster_.coordinator().State();
  ASSERT_TRUE(before.ok()) << before.status();

  EXPECT_EQ(cluster_.StopCoordinator(SIGKILL), "killed by signal 9 (Killed)");
  for (int i = 2; i <= 30; ++i) PushAndExpect(*table, i);
  // A client that comes now finds its way by any server.
  auto late = cluster_.Connect(cluster_.server(1).address());
  auto opened = late->OpenTable("t");
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  std::vector<float> rows(400);
  const Status pulled = opened->Pull(keys_, rows);
  EXPECT_TRUE(pulled.ok()) << pulled.ToString();
  EXPECT_EQ(rows, std::vector<float>(400, -30));
  // Only changes wait, and not for ever.
  ConnectOptions impatient;
  impatient.addresses =
      cluster_.coordinator().address() + "," + cluster_.server(0).address();
  impatient.deadline = std::chrono::milliseconds(500);
  auto changer = Cluster::Connect(impatient);
  ASSERT_TRUE(changer.ok()) << changer.status().ToString();
  const absl::Time start = absl::Now();
  auto refused = (*changer)->CreateTable(Counting("later"));
  EXPECT_FALSE(refused.ok());
  EXPECT_LT(absl::Now() - start, absl::Seconds(3));
  EXPECT_NE(refused.status().hint() + refused.status().message(), "");

  cluster_.StartCoordinator();
  cluster_.WaitUntilUp();
  auto after = cluster_.coordinator().State();
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->cluster_id(), before->cluster_id());
  EXPECT_GE(after->version(), before->version());
  for (int i = 0; i < 64; ++i) {  // nothing was moved for it
    EXPECT_EQ(after->shards(i).primary(), before->shards(i).primary());
  }
  PushAndExpect(*table, 31);
  auto later = client->CreateTable(Counting("later"));
  ASSERT_TRUE(later.ok()) << later.status().ToString();
  PushAndExpect(*later, 1);

  JobSpec job;
  job.name = "after";
  job.workers = 1;
  job.epochs = 1;
  job.examples = 10;
  job.batch = 10;
  auto created = client->CreateJob(job);
  ASSERT_TRUE(created.ok()) << created.status().ToString();
  auto member = Job::Join(*client, "after");
  ASSERT_TRUE(member.ok()) << member.status().ToString();
  auto step =
      (*member)->Push(std::vector<PushPart>{PushPart(
                          *later, keys_, std::vector<float>(400, 1))},
                      {.clock = (*member)->first_clock(), .examples = 10});
  EXPECT_TRUE(step.ok()) << step.status().ToString();
  EXPECT_TRUE((*member)->Leave().ok());
  const Status dropped = client->DropTable("later");
  EXPECT_TRUE(dropped.ok()) << dropped.ToString();
}

}  // namespace
}  // namespace paramo::test
