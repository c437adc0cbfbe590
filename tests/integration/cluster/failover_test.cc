// Servers that die under load while every shard has another replica.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/integration/cluster/counted_cluster.h"

namespace paramo::test {
namespace {

using ::testing::Each;

class FailoverTest : public CountedClusterTest {
 protected:
  FailoverTest() : CountedClusterTest({.servers = 3, .replicas = 2}) {}
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
  StartLoad();
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
  StopLoad();
  EXPECT_THAT(Rows(), Each(-pushed()));
  RecordProperty("worst_ms", static_cast<int>(TakeWorstMs()));
}

}  // namespace
}  // namespace paramo::test
