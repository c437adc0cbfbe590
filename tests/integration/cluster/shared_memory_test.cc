// Clients that are processes of their own, and what they share with a server:
// they are killed at any moment, and either side may do without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/routing/routing.h"
#include "common/wire/seal.h"
#include "tests/integration/cluster/counted_cluster.h"

namespace paramo::test {
namespace {

using ::testing::Each;

constexpr uint32_t kDim = 512;  // 400 KB a push
constexpr int kShards = 4;
constexpr char kClient[] = "pushing_client";

// The last number of each name that a client printed.
std::map<std::string, double> Printed(const std::string& output) {
  std::map<std::string, double> printed;
  std::istringstream lines(output);
  std::string name;
  double value;
  while (lines >> name >> value) printed[name] = value;
  return printed;
}

double SharedBytes(const Peer& server) {
  return server.Metric("paramo_shm_bytes_total");
}

// ---- Killed -----------------------------------------------------------------

// What a process holds of lanes.
struct Held {
  size_t memory = 0;    // descriptors
  size_t sockets = 0;   // of any kind
  size_t mappings = 0;  // of lanes
};

Held HeldBy(pid_t pid) {
  constexpr char kLane[] = "memfd:paramo-lane";
  Held held;
  const std::string process = absl::StrCat("/proc/", pid);
  for (const auto& fd : std::filesystem::directory_iterator(process + "/fd")) {
    std::error_code gone;  // closed meanwhile
    const std::string to = std::filesystem::read_symlink(fd.path(), gone);
    held.memory += to.find(kLane) != std::string::npos ? 1 : 0;
    held.sockets += to.rfind("socket:", 0) == 0 ? 1 : 0;
  }
  std::istringstream maps(ReadWholeFile(process + "/maps"));
  for (std::string line; std::getline(maps, line);)
    held.mappings += line.find(kLane) != std::string::npos ? 1 : 0;
  return held;
}

class KilledClientsTest : public CountedClusterTest {
 protected:
  KilledClientsTest()
      : CountedClusterTest({.servers = 1, .shards = kShards}, kDim) {
    TableSpec spec;
    spec.name = "victims";
    spec.dim = kDim;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    auto table = client_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    victims_ = *table;
  }

  const Peer& server() { return cluster_.server(0); }
  Held held() { return HeldBy(cluster_.pid(0)); }
  double Lanes() { return server().Metric("paramo_shm_lanes"); }

  // Kills a client once it has sent `pushes`; at 0 when it has its lane, which
  // it has not used yet.
  void KillAfter(uint64_t pushes) {
    const std::string log = cluster_.dir() + "/victim.log";
    std::filesystem::remove(log);
    const double lanes = Lanes();
    auto victim = StartBinary(
        kClient,
        {"victims", absl::StrCat(kDim),
         absl::StrCat(std::numeric_limits<int>::max())},
        log, {"PARAMO_ADDRESS=" + cluster_.coordinator().address()});
    const auto due = [&] {
      return pushes == 0 ? Lanes() > lanes
                         : Printed(ReadWholeFile(log))["sent"] >=
                               static_cast<double>(pushes);
    };
    ASSERT_TRUE(WaitUntil([&] { return due() || !victim->Running(); }));
    EXPECT_TRUE(victim->Running()) << ReadWholeFile(log);
    victim->Signal(SIGKILL);
    EXPECT_TRUE(victim->WaitFor(absl::Seconds(20)));
    EXPECT_EQ(victim->Outcome(), "killed by signal 9 (Killed)");
    auto printed = Printed(ReadWholeFile(log));
    sent_ += printed["sent"];
    acked_ += printed["acked"];
  }

  // Every answered push is there, none twice, and none in part on a shard.
  void ExpectVictimsPushes() {
    std::vector<float> rows(ones_.size());
    const Status pulled = victims_->Pull(keys_, rows);
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    std::map<ShardId, float> of_shard;
    for (size_t i = 0; i < rows.size(); ++i) {
      const ShardId shard =
          ShardOf(victims_->info().id, keys_[i / kDim], kShards);
      EXPECT_EQ(of_shard.emplace(shard, rows[i]).first->second, rows[i]);
      if (HasFailure()) return;
    }
    EXPECT_EQ(of_shard.size(), size_t{kShards});
    for (const auto& [shard, row] : of_shard) {
      EXPECT_EQ(row, std::round(row)) << "shard " << shard;
      EXPECT_LE(row, -acked_) << "shard " << shard;
      EXPECT_GE(row, -sent_) << "shard " << shard;
    }
  }

  std::optional<Table> victims_;
  double sent_ = 0;  // of all that were killed
  double acked_ = 0;
};

TEST_F(KilledClientsTest, LeaveNothingBehindAndOthersGoOn) {
  const uint64_t seed = MakeRandomId();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  BitGen random(seed);
  StartLoad();
  WaitForPushes(2);
  ASSERT_TRUE(WaitUntil([&] { return Lanes() == 1; }));
  const Held before = held();
  EXPECT_EQ(before.memory, 1u);
  EXPECT_EQ(before.mappings, 1u);
  constexpr int kKills = 30;
  // Connections that who lives may make only now: of the coordinator that
  // probes the server, and of the client that watches it.
  constexpr size_t kLater = 2;
  int kills = 0;
  for (; kills < kKills && !HasFailure(); ++kills) {
    KillAfter(random.Below(40));
    const uint64_t shared = client_->stats().shm_bytes;
    WaitForPushes(2);
    EXPECT_GT(client_->stats().shm_bytes, shared);
    EXPECT_TRUE(WaitUntil([&] {
      const Held now = held();
      return Lanes() == 1 && now.memory == 1 && now.mappings == 1 &&
             now.sockets <= before.sockets + kLater;
    })) << Lanes()
        << " lanes, " << held().memory << " files, " << held().mappings
        << " mappings, " << held().sockets << " sockets of " << before.sockets;
  }
  StopLoad();
  EXPECT_THAT(Rows(), Each(-pushed()));
  ExpectVictimsPushes();
  // They shared more than half of what they pushed: not what each sent first,
  // while it was given its lane.
  const double shared =
      SharedBytes(server()) - static_cast<double>(client_->stats().shm_bytes);
  EXPECT_GT(shared, acked_ * static_cast<double>(sizeof(float)) *
                        static_cast<double>(ones_.size()) / 2);
  EXPECT_GT(acked_, 0);
  std::printf("%d kills, %.0f pushes sent, %.0f answered, %.0f bytes shared\n",
              kills, sent_, acked_, shared);

  table_.reset();
  victims_.reset();
  client_.reset();
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
  EXPECT_EQ(held().memory, 0u);
  EXPECT_EQ(held().mappings, 0u);
  EXPECT_EQ(cluster_.StopServer(0, SIGTERM), "exit status 0");
  EXPECT_TRUE(std::filesystem::is_empty(cluster_.data_dir(0) + "/shm"));
}

// ---- On and off -------------------------------------------------------------

constexpr int kPushes = 20;

// A cluster, and what a client printed that pushed to it.
class SwitchedTest : public ::testing::Test {
 protected:
  void Run(std::vector<std::string> server_args,
           std::vector<std::string> environment) {
    cluster_ = std::make_unique<TestCluster>(
        ClusterOptions{.servers = 1,
                       .shards = kShards,
                       .server_args = std::move(server_args)});
    ASSERT_TRUE(cluster_->coordinator()
                    .CreateTable(CountingTable("counted", kDim))
                    .ok());
    environment.push_back("PARAMO_ADDRESS=" +
                          cluster_->coordinator().address());
    const Ran ran = RunBinary(
        kClient, {"counted", absl::StrCat(kDim), absl::StrCat(kPushes)},
        environment);
    ASSERT_EQ(ran.outcome, "exit status 0") << ran.output;
    printed_ = Printed(ran.output);
    EXPECT_EQ(printed_["acked"], kPushes);
    EXPECT_EQ(printed_["least"], -kPushes);
    EXPECT_EQ(printed_["largest"], -kPushes);
    // All were big: pushes of 400 KB, pulls of as much.
    EXPECT_GE(printed_["bytes"], 2.0 * kPushes * 200 * kDim * sizeof(float));
  }
  void ExpectNothingShared() {
    EXPECT_EQ(SharedBytes(cluster_->server(0)), 0);
    EXPECT_EQ(printed_["shm_bytes"], 0);
  }

  std::unique_ptr<TestCluster> cluster_;
  std::map<std::string, double> printed_;
};

TEST_F(SwitchedTest, OnBothSidesBothCountTheSame) {
  Run({}, {});
  // Only those that went before the stream had its lane did not.
  EXPECT_GT(printed_["shm_bytes"], printed_["bytes"] / 2);
  EXPECT_LE(printed_["shm_bytes"], printed_["bytes"]);
  // The server counts seals too: of a request, and of its reply.
  const double seals =
      (SharedBytes(cluster_->server(0)) - printed_["shm_bytes"]) /
      wire::kSealBytes;
  EXPECT_EQ(seals, std::round(seals));
  EXPECT_GT(seals, printed_["requests"] / 2);
  EXPECT_LE(seals, 2 * printed_["requests"]);
}

TEST_F(SwitchedTest, AServerWithoutItServesClientsThatWouldShare) {
  Run({"--shm", "off"}, {});
  ExpectNothingShared();
  EXPECT_FALSE(std::filesystem::exists(cluster_->data_dir(0) + "/shm"));
}

TEST_F(SwitchedTest, AClientWithoutItIsServedByAServerThatWouldShare) {
  Run({}, {"PARAMO_SHM=off"});
  ExpectNothingShared();
  EXPECT_TRUE(std::filesystem::exists(cluster_->data_dir(0) + "/shm"));
}

}  // namespace
}  // namespace paramo::test
