// Shards that change hands in order, under load: nobody fails, nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

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
  for (const v1::Shard& shard : State().shards()) {
    const uint32_t to = BackupOf(shard);
    const Ran moved = Paramo({"shard", "transfer", absl::StrCat(shard.id()),
                              "--to", absl::StrCat(to)});
    EXPECT_EQ(moved.outcome, "exit status 0") << moved.output;
    const v1::Shard after = State().shards(static_cast<int>(shard.id()));
    EXPECT_EQ(after.primary(), to);
    EXPECT_EQ(after.in_sync_size(), 2);
    EXPECT_GT(after.term(), shard.term());
  }
  std::printf("longest push of 16 transfers: %.1f ms (%.1f ms without)\n",
              TakeWorstMs(), before);
  CheckRows();
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
