// A shard whose replicas in sync are lost goes on from what is left of it, at
// an operator's word.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster/counted_cluster.h"

namespace paramo::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr int kShards = 4;

class UnsafePromoteTest : public CountedClusterTest {
 protected:
  explicit UnsafePromoteTest(int replicas = 2)
      : CountedClusterTest(
            {.servers = 2, .replicas = replicas, .shards = kShards}) {}

  Ran Paramo(std::vector<std::string> args) {
    args.insert(args.end(), {"--address", cluster_.coordinator().address()});
    return RunBinary("paramo", args);
  }
  Ran Promote(int shard, std::vector<std::string> how) {
    how.insert(how.begin(), {"shard", "unsafe-promote", absl::StrCat(shard)});
    return Paramo(std::move(how));
  }
  void Push(int times) {
    StartLoad();
    WaitForPushes(times);
    StopLoad();
  }
  uint32_t IdOf(int server) {
    const v1::ClusterState state = State();
    for (const v1::Server& entry : state.servers()) {
      if (entry.address() == cluster_.server(server).address()) {
        return entry.id();
      }
    }
    ADD_FAILURE() << "server " << server << " is not registered";
    return 0;
  }
  // It was killed, and everybody knows.
  bool IsDown(uint32_t id) {
    const v1::ClusterState state = State();
    for (const v1::Server& server : state.servers()) {
      if (server.id() == id) return server.status() == v1::SERVER_STATUS_DOWN;
    }
    return false;
  }
  // A client of its own session.
  void ConnectAgain() {
    table_.reset();
    client_ = cluster_.Connect();
    auto table = client_->OpenTable("counted");
    ASSERT_TRUE(table.ok()) << table.status().ToString();
    table_ = *table;
  }
};

TEST_F(UnsafePromoteTest, WhatALaggingReplicaHasGoesOnAndTheOtherBeginsAnew) {
  ASSERT_TRUE(WaitUntil([&] { return InSync(2); }));
  Push(50);
  const int both_have = pushed();
  const Ran needless = Promote(0, {"--empty", "--yes-lose-data"});
  EXPECT_EQ(needless.outcome, "exit status 1");
  EXPECT_THAT(needless.output, HasSubstr("is served"));

  cluster_.StopServer(1, SIGKILL);
  Push(30);
  const int one_has = pushed();
  const uint32_t lost = IdOf(0);
  cluster_.StopServer(0, SIGKILL);  // for good, as far as anybody can tell
  EXPECT_TRUE(WaitUntil([&] { return IsDown(lost); }));
  const std::string aside = cluster_.data_dir(0) + ".aside";
  std::filesystem::rename(cluster_.data_dir(0), aside);
  cluster_.StartServer(1);
  const std::string id = absl::StrCat(IdOf(1));
  EXPECT_THAT(Paramo({"shard", "list"}).output, HasSubstr("offline"));
  const v1::Shard before = State().shards(0);

  const Ran asked = Promote(0, {"--server", id});
  EXPECT_EQ(asked.outcome, "exit status 1") << asked.output;
  EXPECT_THAT(asked.output, HasSubstr("records up to "));
  EXPECT_THAT(asked.output, HasSubstr("is not known"));
  EXPECT_THAT(asked.output, HasSubstr("--yes-lose-data"));
  EXPECT_EQ(State().shards(0).epoch(), before.epoch());
  for (int shard = 0; shard < kShards; ++shard) {
    const Ran told = Promote(shard, {"--server", id, "--yes-lose-data"});
    ASSERT_EQ(told.outcome, "exit status 0") << told.output;
    EXPECT_THAT(told.output, HasSubstr("every session that was open is over"));
  }
  const v1::Shard after = State().shards(0);
  EXPECT_NE(after.history(), before.history());
  EXPECT_THAT(
      Paramo({"shard", "describe", "0"}).output,
      HasSubstr(absl::StrCat(absl::Hex(after.history(), absl::kZeroPad16))));

  auto refused = table_->Push(keys_, ones_);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().ToString(), HasSubstr("promoted unsafely"));
  ConnectAgain();
  EXPECT_THAT(Rows(), Each(-both_have));
  Push(20);
  const int now = both_have + pushed() - one_has;

  // The old one returns with more than the others know, which is void.
  std::filesystem::rename(aside, cluster_.data_dir(0));
  cluster_.StartServer(0);
  EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
  EXPECT_THAT(cluster_.log(0), HasSubstr("goes on in another history"));
  cluster_.StopServer(1, SIGKILL);
  EXPECT_THAT(Rows(), Each(-now));
  // In its store, too.
  cluster_.StopServer(0, SIGTERM);
  cluster_.StartServer(0);
  EXPECT_THAT(Rows(), Each(-now));
  cluster_.StartServer(1);
  EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
  Push(5);
}

class LostShardTest : public UnsafePromoteTest {
 protected:
  LostShardTest() : UnsafePromoteTest(/*replicas=*/1) {}
};

TEST_F(LostShardTest, WhatNobodyHasBeginsEmpty) {
  Push(20);
  const int before = pushed();
  const uint32_t lost = IdOf(0);
  cluster_.StopServer(0, SIGKILL);
  EXPECT_TRUE(WaitUntil([&] { return IsDown(lost); }));
  std::filesystem::remove_all(cluster_.data_dir(0));
  cluster_.StartServer(0);  // another server, as far as anybody can tell
  int begun = 0;
  const v1::ClusterState state = State();
  for (const v1::Shard& shard : state.shards()) {
    if (shard.in_sync(0).server() != lost) continue;
    ++begun;
    const Ran told =
        Promote(static_cast<int>(shard.id()), {"--empty", "--yes-lose-data"});
    ASSERT_EQ(told.outcome, "exit status 0") << told.output;
    EXPECT_THAT(told.output, HasSubstr("goes on empty"));
  }
  EXPECT_EQ(begun, kShards / 2);
  ConnectAgain();
  Push(10);
  const float more = static_cast<float>(pushed() - before);
  size_t empty = 0;
  for (const float row : Rows()) {
    empty += row == -more;
    EXPECT_TRUE(row == -more || row == -static_cast<float>(pushed())) << row;
  }
  EXPECT_GT(empty, 0u);
  EXPECT_LT(empty, keys_.size());
}

}  // namespace
}  // namespace paramo::test
