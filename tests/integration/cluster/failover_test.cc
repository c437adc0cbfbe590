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
  explicit FailoverTest(uint32_t dim = 1)
      : CountedClusterTest({.servers = 3, .replicas = 2}, dim) {}

  // Each server once, and starts it again.
  void KillUnderLoad();
};

// Pushes large enough for shared memory.
class SharedMemoryFailoverTest : public FailoverTest {
 protected:
  SharedMemoryFailoverTest() : FailoverTest(/*dim=*/512) {}
};

TEST_F(FailoverTest, EveryShardHasTwoReplicasAndAcknowledgesWithBoth) {
  EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
  auto ack = table_->Push(keys_, ones_);
  ASSERT_TRUE(ack.ok()) << ack.status().ToString();
  EXPECT_EQ(ack->replicas, 2u);
  EXPECT_THAT(Rows(), Each(-1));
}

void FailoverTest::KillUnderLoad() {
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

// G1 and G2: nothing acknowledged is lost, nothing is applied twice.
TEST_F(FailoverTest, ADeadServerCostsATakeoverAndNothingElse) {
  KillUnderLoad();
}

TEST_F(SharedMemoryFailoverTest, ADeadServerCostsATakeoverAndNothingElse) {
  KillUnderLoad();
  // Every push takes 200 rows of 2 KiB, of which a reconnected client may have
  // sent the first ones by gRPC.
  EXPECT_GT(client_->stats().shm_bytes,
            static_cast<uint64_t>(pushed()) * 200 * 2048 / 2);
}

}  // namespace
}  // namespace paramo::test
