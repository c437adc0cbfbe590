// Files of rows that cannot be read any more: the server starts without the
// shards that it has lost, keeps the damaged files, and gets the rows from the
// other replica. Where there is no other, nothing is served in their stead.
#include <gmock/gmock.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/data.pb.h"
#include "tests/integration/cluster/counted_cluster.h"

namespace paramo::test {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kShards = 16;

// Of the files of rows whose names have `part`, the largest.
fs::path LargestOf(const fs::path& rows, const std::string& part) {
  fs::path largest;
  uintmax_t bytes = 0;
  for (const auto& file : fs::directory_iterator(rows)) {
    if (file.path().filename().string().find(part) == std::string::npos ||
        file.file_size() <= bytes) {
      continue;
    }
    largest = file.path();
    bytes = file.file_size();
  }
  EXPECT_GT(bytes, 0u) << "no " << part << " in " << rows;
  return largest;
}

void FlipBit(const fs::path& file) {
  std::string content = ReadWholeFile(file);
  content[content.size() / 2] ^= 1;
  std::ofstream(file, std::ios::binary) << content;
}

enum class Damage { kFlippedBit, kTruncated, kMissing, kManifest };

void Inflict(Damage damage, const fs::path& rows) {
  const fs::path table = LargestOf(rows, ".sst");
  switch (damage) {
    case Damage::kFlippedBit:
      return FlipBit(table);
    case Damage::kTruncated:
      return fs::resize_file(table, fs::file_size(table) / 2);
    case Damage::kMissing:
      fs::remove(table);
      return;
    case Damage::kManifest:
      return FlipBit(LargestOf(rows, "MANIFEST"));
  }
}

class DamagedStoreTest : public CountedClusterTest {
 protected:
  explicit DamagedStoreTest(int servers = 2)
      : CountedClusterTest(
            {.servers = servers, .replicas = 2, .shards = kShards}) {}

  fs::path rows() const { return cluster_.data_dir(0) + "/rows"; }
  fs::path aside(int number) const {
    return absl::StrCat(rows().string(), ".damaged-", number);
  }
  // Every shard has two replicas in sync, of servers as they are now.
  bool Whole() {
    const v1::ClusterState state = State();
    std::set<std::pair<uint32_t, uint64_t>> up;
    for (const v1::Server& server : state.servers()) {
      if (server.status() != v1::SERVER_STATUS_UP) continue;
      up.emplace(server.id(), server.incarnation());
    }
    for (const v1::Shard& shard : state.shards()) {
      if (shard.fencing() || shard.in_sync_size() != 2) return false;
      for (const v1::Replica& replica : shard.in_sync()) {
        if (!up.contains({replica.server(), replica.incarnation()})) {
          return false;
        }
      }
    }
    return true;
  }
  void Push(int times) {
    StartLoad();
    WaitForPushes(times);
    StopLoad();
  }
  // Over what is led; a server that leads nothing does not know the table.
  std::pair<uint64_t, uint64_t> Checksum(uint32_t table) {
    std::pair<uint64_t, uint64_t> total = {0, 0};
    for (int server = 0; server < cluster_.servers(); ++server) {
      auto sum = cluster_.server(server).Checksum(table);
      if (!sum.ok()) continue;
      total.first += sum->rows();
      total.second += sum->sum();
    }
    return total;
  }
  // In order, so that every row is in the store and in no log.
  void RestartWith(Damage damage) {
    ASSERT_EQ(cluster_.StopServer(0, SIGTERM), "exit status 0");
    Inflict(damage, rows());
    cluster_.StartServer(0);
  }
};

class DamagedBackupTest : public DamagedStoreTest,
                          public ::testing::WithParamInterface<Damage> {};
INSTANTIATE_TEST_SUITE_P(Every, DamagedBackupTest,
                         ::testing::Values(Damage::kFlippedBit,
                                           Damage::kTruncated, Damage::kMissing,
                                           Damage::kManifest));

TEST_P(DamagedBackupTest, TheOtherReplicaGivesWhatIsLost) {
  ASSERT_TRUE(WaitUntil([&] { return Whole(); }));
  Push(50);
  const uint32_t table = State().tables(0).id();
  const auto before = Checksum(table);
  EXPECT_EQ(before.first, keys_.size());
  RestartWith(GetParam());
  EXPECT_THAT(cluster_.log(0), HasSubstr("the store is damaged"));
  EXPECT_THAT(cluster_.log(0), HasSubstr(aside(1).string()));
  EXPECT_TRUE(fs::exists(aside(1)));
  ASSERT_TRUE(WaitUntil([&] { return Whole(); })) << cluster_.log(0);
  EXPECT_THAT(Rows(), Each(-pushed()));

  // It has everything, alone, and its files are whole.
  cluster_.StopServer(0, SIGTERM);
  cluster_.StartServer(0);
  ASSERT_TRUE(WaitUntil([&] { return Whole(); }));
  EXPECT_FALSE(fs::exists(aside(2))) << cluster_.log(0);
  cluster_.StopServer(1, SIGKILL);
  EXPECT_THAT(Rows(), Each(-pushed()));
  EXPECT_EQ(Checksum(table), before);
}

// Each server makes the shards anew, since the other one still stands in sync:
// nobody can.
TEST_F(DamagedStoreTest, WhatEveryServerHasLostIsSaidWithTheWayOut) {
  ASSERT_TRUE(WaitUntil([&] { return Whole(); }));
  Push(50);
  for (const int server : {0, 1}) {
    ASSERT_EQ(cluster_.StopServer(server, SIGKILL),
              "killed by signal 9 (Killed)");
  }
  for (const int server : {0, 1}) {
    FlipBit(LargestOf(cluster_.data_dir(server) + "/rows", "MANIFEST"));
  }
  for (const int server : {0, 1}) cluster_.StartServer(server);
  const auto told = [&](std::vector<std::string> args) {
    args.push_back("--address");
    args.push_back(cluster_.coordinator().address());
    return RunBinary("paramo", args).output;
  };
  EXPECT_TRUE(WaitUntil([&] {
    return absl::StrContains(told({"server", "list"}), "they wait for ever: 0");
  })) << told({"server", "list"});
  EXPECT_THAT(told({"server", "list"}), HasSubstr("`paramo shard describe 0`"));
  const std::string described = told({"shard", "describe", "3"});
  EXPECT_THAT(described, HasSubstr("offline"));
  EXPECT_THAT(described, HasSubstr("It waits for ever"));
  EXPECT_THAT(described, HasSubstr("restore its data directory"));
  EXPECT_THAT(described, HasSubstr("unsafe-promote 3 --server SERVER"));
  EXPECT_THAT(described, HasSubstr("unsafe-promote 3 --empty"));
  for (const int server : {0, 1}) {
    EXPECT_TRUE(fs::exists(cluster_.data_dir(server) + "/rows.damaged-1"));
  }
  EXPECT_THAT(
      told({"shard", "unsafe-promote", "3", "--empty", "--yes-lose-data"}),
      HasSubstr("shard 3 goes on"));
  EXPECT_THAT(told({"shard", "describe", "3"}),
              Not(HasSubstr("unsafe-promote")));
}

// The metadata have a server's promises: nothing can stand in for them.
TEST_F(DamagedStoreTest, WithoutItsMetadataAServerComesBackAsTheMessageSays) {
  ASSERT_TRUE(WaitUntil([&] { return Whole(); }));
  Push(50);
  const std::string dir = cluster_.data_dir(0);
  ASSERT_EQ(cluster_.StopServer(0, SIGTERM), "exit status 0");
  FlipBit(LargestOf(dir + "/meta", "MANIFEST"));
  const Ran refused = RunBinary(
      "paramo-server",
      {"--data-dir", dir, "--coordinator", cluster_.coordinator().address()});
  EXPECT_THAT(refused.outcome, HasSubstr("exit status"));
  EXPECT_NE(refused.outcome, "exit status 0");
  const std::string command = absl::StrCat("mv ", dir, " ", dir, ".damaged");
  ASSERT_THAT(refused.output, HasSubstr(command));
  ASSERT_EQ(std::system(command.c_str()), 0);
  cluster_.StartServer(0);
  ASSERT_TRUE(WaitUntil([&] { return Whole(); })) << cluster_.log(0);
  // It has everything. (The one that it was is down for good: were the other
  // one to die, most would be, and nothing would be moved.)
  const v1::ClusterState state = State();
  for (const v1::Server& server : state.servers()) {
    if (server.address() != cluster_.server(1).address()) continue;
    EXPECT_THAT(
        RunBinary("paramo", {"server", "drain", absl::StrCat(server.id()),
                             "--address", cluster_.coordinator().address()})
            .output,
        HasSubstr("leads nothing"));
  }
  EXPECT_THAT(Rows(), Each(-pushed()));
}

// A default cluster of one server: two replicas are wanted, and there is one.
class DamagedLoneStoreTest : public DamagedStoreTest {
 protected:
  DamagedLoneStoreTest() : DamagedStoreTest(/*servers=*/1) {}

  std::vector<uint32_t> DamagedShards() {
    const v1::ClusterState state = State();
    const auto& damaged = state.servers(0).damaged_shards();
    return {damaged.begin(), damaged.end()};
  }
  // The keys that are served, each with the value that is asked for.
  size_t CountServed(float value) {
    size_t served = 0;
    for (const uint64_t key : keys_) {
      v1::Request request;
      *request.add_pull() = SimpleSection(State().tables(0).id(), {key});
      auto reply = cluster_.server(0).Pull(request);
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok() || reply->pull(0).code() != 0) continue;
      ++served;
      EXPECT_THAT(Floats(reply->pull(0).values()), Each(value)) << key;
    }
    return served;
  }
  void PromoteEmpty(const std::vector<uint32_t>& shards) {
    for (const uint32_t shard : shards) {
      const Ran told =
          RunBinary("paramo", {"shard", "unsafe-promote", absl::StrCat(shard),
                               "--empty", "--yes-lose-data", "--address",
                               cluster_.coordinator().address()});
      EXPECT_EQ(told.outcome, "exit status 0") << told.output;
    }
  }
  bool ServesAll() {
    return cluster_.server(0).Stats().shards_size() == kShards;
  }
};

TEST_F(DamagedLoneStoreTest, WhatIsWholeIsServedAndNothingElse) {
  Push(50);
  RestartWith(Damage::kFlippedBit);
  const std::vector<uint32_t> damaged = DamagedShards();
  EXPECT_GT(damaged.size(), 0u) << cluster_.log(0);
  EXPECT_LT(damaged.size(), size_t{kShards});
  for (const uint32_t shard : damaged) {
    EXPECT_THAT(cluster_.log(0),
                HasSubstr(absl::StrCat("unsafe-promote ", shard, " --empty")));
  }
  auto rest_is_served = [&] {
    return cluster_.server(0).Stats().shards_size() +
               static_cast<int>(damaged.size()) ==
           kShards;
  };
  EXPECT_TRUE(WaitUntil(rest_is_served)) << cluster_.log(0);
  const size_t served = CountServed(-pushed());
  EXPECT_GT(served, 0u);
  EXPECT_LT(served, keys_.size());

  // It is not forgotten, and the rest is whole.
  cluster_.StopServer(0, SIGKILL);
  cluster_.StartServer(0);
  EXPECT_EQ(DamagedShards(), damaged);
  EXPECT_FALSE(fs::exists(aside(2))) << cluster_.log(0);
  EXPECT_TRUE(WaitUntil(rest_is_served)) << cluster_.log(0);
  EXPECT_EQ(CountServed(-pushed()), served);

  PromoteEmpty(damaged);
  EXPECT_TRUE(WaitUntil([&] { return ServesAll(); }));
  table_.reset();
  client_ = cluster_.Connect();
  table_ = *client_->OpenTable("counted");
  std::multiset<float> expected;
  for (size_t i = 0; i < keys_.size(); ++i) {
    expected.insert(i < served ? -pushed() - 1 : -1);
  }
  ASSERT_TRUE(table_->Push(keys_, ones_).ok());
  cluster_.StopServer(0, SIGTERM);
  cluster_.StartServer(0);
  EXPECT_TRUE(WaitUntil([&] { return ServesAll(); })) << cluster_.log(0);
  EXPECT_THAT(DamagedShards(), ::testing::IsEmpty());
  const std::vector<float> rows = Rows();
  EXPECT_EQ(std::multiset<float>(rows.begin(), rows.end()), expected);
}

TEST_F(DamagedLoneStoreTest, WithoutItsManifestNothingIsServed) {
  Push(50);
  RestartWith(Damage::kManifest);
  EXPECT_EQ(DamagedShards().size(), size_t{kShards});
  EXPECT_TRUE(fs::exists(aside(1)));
  EXPECT_EQ(CountServed(0), 0u);
  // What is in no log is lost only when somebody says so.
  PromoteEmpty({0});
  EXPECT_TRUE(
      WaitUntil([&] { return cluster_.server(0).Stats().shards_size() == 1; }));
  EXPECT_EQ(DamagedShards().size(), size_t{kShards});
}

}  // namespace
}  // namespace paramo::test
