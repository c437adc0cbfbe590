// Shards that change hands in order, under load: nobody fails, nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster/counted_cluster.h"

namespace paramo::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

class MoveTest : public CountedClusterTest {
 protected:
  MoveTest() : CountedClusterTest({.servers = 3, .replicas = 2, .shards = 16}) {
    EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
  }

  Ran Paramo(std::vector<std::string> args,
             absl::Duration within = absl::Seconds(30)) {
    args.push_back("--address");
    args.push_back(cluster_.coordinator().address());
    return RunBinary("paramo", args, {}, within);
  }
  static uint32_t BackupOf(const v1::Shard& shard) {
    for (const v1::Replica& replica : shard.in_sync()) {
      if (replica.server() != shard.primary()) return replica.server();
    }
    return 0;
  }
  // The place in cluster_ of what the cluster knows as server `id`.
  int IndexOf(uint32_t id) {
    const v1::ClusterState state = State();
    for (const v1::Server& server : state.servers()) {
      if (server.id() != id) continue;
      for (int i = 0; i < cluster_.servers(); ++i) {
        if (cluster_.server(i).address() == server.address()) return i;
      }
    }
    ADD_FAILURE() << "there is no server " << id;
    return 0;
  }
  // To its other replica. On a starved machine a server may look dead and the
  // shard be short of one: then it is refused, and nothing has happened.
  bool Transfer(int shard) {
    const v1::Shard before = State().shards(shard);
    const uint32_t to = BackupOf(before);
    const Ran moved = Paramo(
        {"shard", "transfer", absl::StrCat(shard), "--to", absl::StrCat(to)});
    const v1::Shard after = State().shards(shard);
    return to != 0 && moved.outcome == "exit status 0" &&
           after.primary() == to && after.term() > before.term();
  }
  // Ends the load, and holds the rows against it.
  void CheckRows() {
    WaitForPushes(20);
    StopLoad();
    EXPECT_THAT(Rows(), Each(-pushed()));
  }
};

TEST_F(MoveTest, ATransferCostsNoPush) {
  StartLoad();
  WaitForPushes(20);
  const double before = TakeWorstMs();
  for (int shard = 0; shard < 16; ++shard) {
    EXPECT_TRUE(WaitUntil([&] { return Transfer(shard); })) << shard;
  }
  std::printf("longest push of 16 transfers: %.1f ms (%.1f ms without)\n",
              TakeWorstMs(), before);
  CheckRows();
}

TEST_F(MoveTest, ADrainCostsNoPush) {
  StartLoad();
  for (uint32_t server : {1, 2, 3}) {
    WaitForPushes(20);
    const double before = TakeWorstMs();
    // Another server that looks dead for a moment can take nothing, and the
    // command says so; it is to be drained still.
    EXPECT_TRUE(WaitUntil([&] {
      const Ran drained = Paramo({"server", "drain", absl::StrCat(server)});
      EXPECT_EQ(drained.outcome, "exit status 0") << drained.output;
      return drained.output.find("is empty and may") != std::string::npos;
    }));
    WaitForPushes(20);
    std::printf("longest push of draining server %u: %.1f ms (%.1f without)\n",
                server, TakeWorstMs(), before);
    EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
    const v1::ClusterState state = State();
    for (const v1::Shard& shard : state.shards()) {
      for (const v1::Replica& replica : shard.in_sync()) {
        EXPECT_NE(replica.server(), server);
      }
    }
    EXPECT_EQ(Paramo({"server", "undrain", absl::StrCat(server)}).outcome,
              "exit status 0");
  }
  CheckRows();
}

// Of two servers that are left nobody can take the copies of one; and it stays
// drained when the coordinator is another process.
TEST_F(MoveTest, ADrainSaysWhatItCannotDo) {
  const int stopped = IndexOf(3);
  cluster_.StopServer(stopped, SIGTERM);
  ASSERT_TRUE(WaitUntil(
      [&] { return State().servers(2).status() != v1::SERVER_STATUS_UP; }));
  StartLoad();
  const Ran drained = Paramo({"server", "drain", "2"});
  EXPECT_EQ(drained.outcome, "exit status 0") << drained.output;
  EXPECT_THAT(drained.output, HasSubstr("leads nothing. It keeps"));
  EXPECT_THAT(drained.output, HasSubstr("start another server"));
  const Ran last = Paramo({"server", "drain", "1"});
  EXPECT_EQ(last.outcome, "exit status 1");
  EXPECT_THAT(last.output, HasSubstr("start or undrain another one first"));
  cluster_.StopCoordinator(SIGKILL);
  cluster_.StartCoordinator();
  EXPECT_TRUE(WaitUntil([&] {
    auto state = cluster_.coordinator().State();
    return state.ok() && state->servers(1).drained();
  }));
  cluster_.StartServer(stopped);
  EXPECT_TRUE(WaitUntil([&] {
    const Ran now = Paramo({"server", "drain", "2", "--within", "1s"});
    return now.output.find("is empty") != std::string::npos;
  }));
  CheckRows();
}

// Three replicas on three servers: whoever returns gets all of its own again.
class BalanceTest : public CountedClusterTest {
 protected:
  BalanceTest()
      : CountedClusterTest({.servers = 3,
                            .replicas = 3,
                            .shards = 16,
                            .coordinator_args = {"--balance-after", "300ms"}}) {
  }

  bool Balanced() {
    std::map<uint32_t, int> led = {{1, 0}, {2, 0}, {3, 0}};
    const v1::ClusterState state = State();
    for (const v1::Shard& shard : state.shards()) ++led[shard.primary()];
    if (led.size() != 3) return false;  // 0: fencing
    const auto [low, high] = std::minmax({led[1], led[2], led[3]});
    return high - low <= 1;
  }
};

TEST_F(BalanceTest, PrimariesReturnToAServerThatDiedAndCostNoPush) {
  ASSERT_TRUE(WaitUntil([&] { return InSync(3); }));
  StartLoad();
  WaitForPushes(20);
  cluster_.StopServer(0, SIGKILL);
  EXPECT_TRUE(WaitUntil([&] { return !Balanced(); }));
  cluster_.StartServer(0);
  EXPECT_TRUE(WaitUntil([&] { return InSync(3); }));
  TakeWorstMs();
  EXPECT_TRUE(WaitUntil([&] { return Balanced(); }, absl::Seconds(40)));
  WaitForPushes(20);
  std::printf("longest push while balancing: %.1f ms\n", TakeWorstMs());
  StopLoad();
  EXPECT_THAT(Rows(), Each(-pushed()));
}

class ReplicaBalanceTest : public CountedClusterTest {
 protected:
  ReplicaBalanceTest()
      : CountedClusterTest({.servers = 3,
                            .replicas = 2,
                            .shards = 16,
                            .coordinator_args = {"--balance-after", "300ms"}}) {
  }

  // Shards in sync on server 1 to 3, and those led by it.
  std::pair<std::map<uint32_t, int>, std::map<uint32_t, int>> HeldAndLed() {
    std::map<uint32_t, int> held, led;
    const v1::ClusterState state = State();
    for (const v1::Shard& shard : state.shards()) {
      ++led[shard.primary()];
      for (const v1::Replica& replica : shard.in_sync()) {
        ++held[replica.server()];
      }
    }
    return {held, led};
  }
};

TEST_F(ReplicaBalanceTest, AServerThatDiedGetsItsShareOfReplicasAgain) {
  ASSERT_TRUE(WaitUntil([&] { return InSync(2); }));
  StartLoad();
  WaitForPushes(20);
  cluster_.StopServer(0, SIGKILL);
  EXPECT_TRUE(WaitUntil([&] {  // made anew on the other two
    return InSync(2) && HeldAndLed().first.size() == 2;
  }));
  cluster_.StartServer(0);
  TakeWorstMs();
  EXPECT_TRUE(WaitUntil(
      [&] {
        auto [held, led] = HeldAndLed();
        return std::minmax({held[1], held[2], held[3]}) == std::pair(10, 11) &&
               std::minmax({led[1], led[2], led[3]}) == std::pair(5, 6);
      },
      absl::Seconds(60)));
  WaitForPushes(20);
  std::printf("longest push while balancing: %.1f ms\n", TakeWorstMs());
  StopLoad();
  EXPECT_THAT(Rows(), Each(-pushed()));
}

TEST_F(MoveTest, ATransferElsewhereIsRefused) {
  const v1::Shard shard = State().shards(0);
  uint32_t stranger = 1;
  while (stranger == shard.primary() || stranger == BackupOf(shard)) ++stranger;
  const Ran moved =
      Paramo({"shard", "transfer", "0", "--to", absl::StrCat(stranger)});
  EXPECT_EQ(moved.outcome, "exit status 1");
  EXPECT_THAT(moved.output, HasSubstr("no replica of shard 0"));
  EXPECT_EQ(State().shards(0).epoch(), shard.epoch());
  const Ran unnamed = Paramo({"shard", "transfer", "0"});
  EXPECT_NE(unnamed.outcome, "exit status 0");
  EXPECT_THAT(unnamed.output, HasSubstr("--to SERVER"));
}

}  // namespace
}  // namespace paramo::test
