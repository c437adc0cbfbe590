// A log that cannot be read in one place: the server starts, says so, and takes
// what it lacks from the other replica. Where there is no other, the shard
// waits.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "paramo/v1/admin.pb.h"
#include "tests/integration/cluster/counted_cluster.h"

namespace paramo::test {
namespace {

using ::testing::Each;

constexpr char kDamaged[] = " is damaged: ";

// Flips a bit in the middle of the largest file of the log.
void DamageLog(const std::string& data_dir) {
  namespace fs = std::filesystem;
  fs::path largest;
  uintmax_t bytes = 0;
  for (const auto& file : fs::directory_iterator(data_dir + "/log")) {
    if (file.file_size() <= bytes) continue;
    largest = file.path();
    bytes = file.file_size();
  }
  std::string content = ReadWholeFile(largest);
  ASSERT_GT(content.size(), 10000u) << largest;
  content[content.size() / 2] ^= 1;
  std::ofstream(largest, std::ios::binary) << content;
}

class RepairTest : public CountedClusterTest {
 protected:
  explicit RepairTest(int servers = 2, int replicas = 2)
      : CountedClusterTest({.servers = servers,
                            .replicas = replicas,
                            .shards = 16,
                            // Everything stays in the log.
                            .server_args = {"--flush-interval", "1h"}}) {}

  // Server 0 dies, and its log is not whole when it starts again.
  void RestartDamaged() {
    StartLoad();
    WaitForPushes(200);
    if (cluster_.servers() == 1) StopLoad();
    cluster_.StopServer(0, SIGKILL);
    DamageLog(cluster_.data_dir(0));
    cluster_.StartServer(0);
  }
  size_t CountDamaged() const {
    const std::string log = cluster_.log(0);
    size_t count = 0;
    for (size_t at = log.find(kDamaged); at != std::string::npos;
         at = log.find(kDamaged, at + 1)) {
      ++count;
    }
    return count;
  }
};

TEST_F(RepairTest, TheOtherReplicaGivesWhatIsMissing) {
  ASSERT_TRUE(WaitUntil([&] { return InSync(2); }));
  RestartDamaged();
  EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
  EXPECT_GT(CountDamaged(), 0u) << cluster_.log(0);
  WaitForPushes(20);
  // What server 0 has now is whole: alone, after another death.
  cluster_.StopServer(0, SIGKILL);
  const size_t before = CountDamaged();
  cluster_.StartServer(0);
  // By now it is known whether it was missed: it has what is pushed, or joins.
  WaitForPushes(20);
  EXPECT_TRUE(WaitUntil([&] { return InSync(2); }));
  EXPECT_EQ(CountDamaged(), before) << cluster_.log(0);
  StopLoad();
  cluster_.StopServer(1, SIGKILL);
  EXPECT_THAT(Rows(), Each(-pushed()));
}

class LoneRepairTest : public RepairTest {
 protected:
  LoneRepairTest() : RepairTest(/*servers=*/1, /*replicas=*/1) {}
};

TEST_F(LoneRepairTest, WithoutAnotherReplicaTheShardWaits) {
  RestartDamaged();
  EXPECT_GT(CountDamaged(), 0u) << cluster_.log(0);
  int served = 0, damaged = 0;
  EXPECT_TRUE(WaitUntil([&] {
    damaged = State().servers(0).damaged_shards_size();
    served = cluster_.server(0).Stats().shards_size();
    return served + damaged == 16;
  })) << served
      << " served, " << damaged << " damaged";
  EXPECT_GT(damaged, 0);
  const Ran status = RunBinary(
      "paramo", {"status", "--address", cluster_.coordinator().address()});
  EXPECT_THAT(status.output,
              testing::HasSubstr(absl::StrCat(damaged, " offline")));
  // Once more, in order: it is not forgotten.
  cluster_.StopServer(0, SIGTERM);
  cluster_.StartServer(0);
  EXPECT_EQ(State().servers(0).damaged_shards_size(), damaged);
}

// Nobody has more than what could be read, and somebody says so.
TEST_F(LoneRepairTest, AnOperatorGoesOnWithWhatIsLeft) {
  RestartDamaged();
  const v1::Server damaged = State().servers(0);
  ASSERT_GT(damaged.damaged_shards_size(), 0);
  for (const uint32_t shard : damaged.damaged_shards()) {
    const Ran told = RunBinary(
        "paramo", {"shard", "unsafe-promote", absl::StrCat(shard), "--server",
                   absl::StrCat(damaged.id()), "--yes-lose-data", "--address",
                   cluster_.coordinator().address()});
    EXPECT_EQ(told.outcome, "exit status 0") << told.output;
  }
  auto served = [&] { return cluster_.server(0).Stats().shards_size() == 16; };
  EXPECT_TRUE(WaitUntil(served));
  table_.reset();
  client_ = cluster_.Connect();
  table_ = *client_->OpenTable("counted");
  const std::vector<float> before = Rows();
  for (const float row : before) EXPECT_GE(row, -pushed());
  ASSERT_TRUE(table_->Push(keys_, ones_).ok());
  // The log goes on behind the damage: it is read again.
  const size_t told = CountDamaged();
  cluster_.StopServer(0, SIGKILL);
  cluster_.StartServer(0);
  EXPECT_TRUE(WaitUntil(served));
  EXPECT_EQ(CountDamaged(), told) << cluster_.log(0);
  const std::vector<float> after = Rows();
  for (size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i], before[i] - 1);
}

}  // namespace
}  // namespace paramo::test
