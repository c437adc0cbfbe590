// Servers that stop, die and come back on the same data directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <zlib.h>

#include <atomic>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/routing/routing.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "paramo/v1/data.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kStopped[] = "exit status 0";

// lsn by shard, of every server.
std::map<uint32_t, uint64_t> Lsns(const TestCluster& cluster) {
  std::map<uint32_t, uint64_t> lsns;
  for (int i = 0; i < cluster.servers(); ++i) {
    const v1::StatsReply stats = cluster.server(i).Stats();
    for (const v1::ShardStats& shard : stats.shards()) {
      lsns[shard.shard()] = shard.lsn();
    }
  }
  return lsns;
}

class RestartTest : public ::testing::Test {
 protected:
  RestartTest() : cluster_({.servers = 2}), client_(cluster_.Connect()) {}

  Table Sparse(const std::string& name, const std::string& rule = "adagrad") {
    TableSpec spec;
    spec.name = name;
    spec.dim = 8;
    spec.rule.name = rule;
    auto table = client_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    return *table;
  }
  Tensor Dense(const std::string& name) {
    TableSpec spec;
    spec.name = name;
    spec.shape = {300, 70};
    spec.rule.name = "adam";
    spec.initializer.kind = Initializer::Kind::kNormal;
    spec.initializer.a = 1;
    auto tensor = client_->CreateTensor(spec);
    EXPECT_TRUE(tensor.ok()) << tensor.status().ToString();
    return *tensor;
  }
  void PushRandomly(const Table& table, int pushes) {
    for (int i = 0; i < pushes; ++i) {
      std::vector<uint64_t> keys(100);
      for (uint64_t& key : keys) key = gen_.Below(2000);
      std::vector<float> grads(keys.size() * table.dim());
      for (float& grad : grads) grad = static_cast<float>(gen_.Below(9)) - 4;
      auto ack = table.Push(keys, grads);
      ASSERT_TRUE(ack.ok()) << ack.status().ToString();
    }
  }
  void PushRandomly(const Tensor& tensor, int pushes) {
    for (int i = 0; i < pushes; ++i) {
      std::vector<float> grads(tensor.size());
      for (float& grad : grads) grad = static_cast<float>(gen_.Below(9)) - 4;
      auto ack = tensor.Push(grads);
      ASSERT_TRUE(ack.ok()) << ack.status().ToString();
    }
  }
  // `server` stops as it should and comes back.
  void Restart(int server) {
    EXPECT_EQ(cluster_.StopServer(server, SIGTERM), kStopped)
        << cluster_.log(server);
    cluster_.StartServer(server);
    cluster_.WaitUntilUp();
  }

  TestCluster cluster_;
  std::unique_ptr<Cluster> client_;
  BitGen gen_{11};
};

TEST_F(RestartTest, AStoppedServerContinuesWithIdenticalRows) {
  const Table sparse = Sparse("sparse");
  const Tensor dense = Dense("dense");
  PushRandomly(sparse, 30);
  PushRandomly(dense, 5);
  const auto sparse_sum = cluster_.Checksum(sparse.info().id);
  const auto dense_sum = cluster_.Checksum(dense.info().id);
  EXPECT_GT(sparse_sum.first, 1000u);
  EXPECT_EQ(dense_sum.first, 6u);  // blocks of 4096
  const std::map<uint32_t, uint64_t> before = Lsns(cluster_);
  EXPECT_EQ(before.size(), 64u);

  // Twice, so that what was read back is also written back right.
  for (int round = 0; round < 2; ++round) {
    for (int server = 0; server < 2; ++server) Restart(server);
    cluster_.WaitUntilUp();
    EXPECT_EQ(cluster_.Checksum(sparse.info().id), sparse_sum);
    EXPECT_EQ(cluster_.Checksum(dense.info().id), dense_sum);
    const std::map<uint32_t, uint64_t> after = Lsns(cluster_);
    EXPECT_EQ(after.size(), 64u);
    for (const auto& [shard, lsn] : before) {
      EXPECT_GE(after.at(shard), lsn) << "shard " << shard;
    }
  }

  // The same client goes on, behind the lsn where the shards were.
  const uint64_t lsns = cluster_.LsnSum();
  PushRandomly(sparse, 5);
  PushRandomly(dense, 1);
  EXPECT_NE(cluster_.Checksum(sparse.info().id), sparse_sum);
  EXPECT_NE(cluster_.Checksum(dense.info().id), dense_sum);
  EXPECT_GT(cluster_.LsnSum(), lsns);
}

TEST_F(RestartTest, TheWholeClusterContinuesToo) {
  const Table sparse = Sparse("sparse", "momentum");
  PushRandomly(sparse, 20);
  const auto sum = cluster_.Checksum(sparse.info().id);
  auto state = cluster_.coordinator().State();
  ASSERT_TRUE(state.ok());
  for (int server = 0; server < 2; ++server) {
    EXPECT_EQ(cluster_.StopServer(server, SIGTERM), kStopped);
  }
  EXPECT_EQ(cluster_.StopCoordinator(SIGTERM), kStopped);
  cluster_.StartCoordinator();
  for (int server = 0; server < 2; ++server) cluster_.StartServer(server);
  cluster_.WaitUntilUp();
  auto again = cluster_.coordinator().State();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->cluster_id(), state->cluster_id());
  EXPECT_EQ(again->cluster_incarnation(), state->cluster_incarnation());
  EXPECT_GE(again->version(), state->version());
  EXPECT_EQ(cluster_.Checksum(sparse.info().id), sum);
  PushRandomly(sparse, 2);
}

TEST_F(RestartTest, ANumberUsedBeforeIsAnsweredAfterwards) {
  const Table table = Sparse("numbered", "sgd");
  const uint32_t id = table.info().id;
  const uint32_t shard = ShardOf(id, 5, 64);
  auto session = cluster_.coordinator().OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  int home = 0;
  auto push = [&](uint64_t seq) {
    v1::Request request;
    v1::Section& section = *request.add_push();
    section = SimpleSection(id, {5}, std::vector<float>(8, 1));
    section.set_shard(shard);
    section.set_session(session->session());
    section.set_session_epoch(session->session_epoch());
    section.set_seq(seq);
    auto reply = cluster_.server(home).Push(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->push(0) : v1::SectionReply();
  };
  if (push(1).code() != 0) home = 1;
  std::vector<v1::SectionReply> first;
  for (uint64_t seq = 1; seq <= 5; ++seq) first.push_back(push(seq));
  for (const auto& reply : first) ASSERT_EQ(reply.code(), 0u);
  const auto sum = cluster_.Checksum(id);

  Restart(home);
  EXPECT_EQ(cluster_.Checksum(id), sum);
  for (uint64_t seq = 1; seq <= 5; ++seq) {
    const v1::SectionReply again = push(seq);
    EXPECT_EQ(again.code(), 0u) << again.message();
    EXPECT_EQ(again.lsn(), first[seq - 1].lsn());
    EXPECT_EQ(again.outcome(), uint32_t{v1::OUTCOME_APPLIED});
  }
  EXPECT_EQ(cluster_.Checksum(id), sum);
  const v1::SectionReply next = push(6);
  EXPECT_EQ(next.code(), 0u) << next.message();
  EXPECT_GT(next.lsn(), first[4].lsn());
  EXPECT_NE(cluster_.Checksum(id), sum);
}

TEST_F(RestartTest, ATableDroppedMeanwhileStaysDropped) {
  const Table table = Sparse("gone");
  const Table kept = Sparse("kept");
  PushRandomly(table, 10);
  PushRandomly(kept, 10);
  const auto kept_sum = cluster_.Checksum(kept.info().id);
  ASSERT_EQ(cluster_.StopServer(0, SIGTERM), kStopped);
  const Status dropped = client_->DropTable("gone");
  ASSERT_TRUE(dropped.ok()) << dropped.ToString();
  cluster_.StartServer(0);
  cluster_.WaitUntilUp();
  // Each shard learns of it by a record.
  EXPECT_TRUE(WaitUntil([&] {
    int gone = 0;
    for (int server = 0; server < 2; ++server) {
      gone += absl::IsNotFound(
          cluster_.server(server).Checksum(table.info().id).status());
    }
    return gone == 2;
  }));
  EXPECT_EQ(cluster_.Checksum(kept.info().id), kept_sum);
  // One of the same name is another table, and empty; after a restart too.
  const Table again = Sparse("gone");
  EXPECT_NE(again.info().id, table.info().id);
  Restart(0);
  EXPECT_EQ(cluster_.Checksum(again.info().id).first, 0u);
}

// ---- kill -9 ----------------------------------------------------------------

class KillTest : public RestartTest {
 protected:
  // One row per key, each a count: minus the number of pushes applied to it.
  Table Counted(Durability durability) {
    TableSpec spec;
    spec.name = "counted";
    spec.dim = 1;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    spec.durability = durability;
    auto table = client_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    return *table;
  }
  void Kill(int server) {
    EXPECT_EQ(cluster_.StopServer(server, SIGKILL),
              "killed by signal 9 (Killed)");
  }
  std::vector<float> Rows(const Table& table) {
    std::vector<float> rows(keys_.size());
    Status pulled = table.Pull(keys_, rows);
    EXPECT_TRUE(pulled.ok()) << pulled.ToString();
    return rows;
  }

  std::vector<uint64_t> keys_ = [] {
    std::vector<uint64_t> keys(200);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
    return keys;
  }();
  const std::vector<float> ones_ = std::vector<float>(200, 1);
};

// G1 of the log: everything acknowledged is there, whole, on every server.
TEST_F(KillTest, OfEveryServerLosesNothingAcknowledged) {
  const Table table = Counted(Durability::kLogged);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(table.Push(keys_, ones_).ok());
  const auto sum = cluster_.Checksum(table.info().id);
  // Twice: what was replayed is replayed again, or has been stored meanwhile.
  for (int round = 0; round < 2; ++round) {
    for (int server = 0; server < 2; ++server) Kill(server);
    for (int server = 0; server < 2; ++server) cluster_.StartServer(server);
    cluster_.WaitUntilUp();
    EXPECT_EQ(cluster_.Checksum(table.info().id), sum);
    EXPECT_THAT(Rows(table), Each(-50));
  }
  EXPECT_THAT(cluster_.log(0), HasSubstr("read the log"));
  EXPECT_THAT(cluster_.log(0), Not(HasSubstr("may be missing")));
  // The client that was there goes on in its session.
  auto ack = table.Push(keys_, ones_);
  ASSERT_TRUE(ack.ok()) << ack.status().ToString();
  EXPECT_THAT(Rows(table), Each(-51));
}

// G2: what is under way when the server dies is applied once, by the retry.
TEST_F(KillTest, UnderLoadAppliesEveryPushOnce) {
  const Table table = Counted(Durability::kLogged);
  std::atomic<bool> stop{false};
  std::atomic<int> pushed{0};
  std::thread load([&] {
    while (!stop.load()) {
      auto ack = table.Push(keys_, ones_);
      ASSERT_TRUE(ack.ok()) << ack.status().ToString();
      pushed.fetch_add(1);
    }
  });
  for (int round = 0; round < 4; ++round) {
    const int before = pushed.load();
    EXPECT_TRUE(WaitUntil([&] { return pushed.load() > before + 20; }));
    Kill(round % 2);
    cluster_.StartServer(round % 2);
  }
  cluster_.WaitUntilUp();
  stop.store(true);
  load.join();
  EXPECT_THAT(Rows(table), Each(-pushed.load()));
}

// A table whose pushes count before the log has them says so after a crash.
TEST_F(KillTest, OfAServerWithPushesInMemoryOnlyIsAnotherIncarnation) {
  const Table table = Counted(Durability::kReplicated);
  ASSERT_TRUE(table.Push(keys_, ones_).ok());
  auto incarnations = [&] {
    auto state = cluster_.coordinator().State();
    EXPECT_TRUE(state.ok()) << state.status();
    std::set<uint64_t> all;
    for (const v1::Server& server : state->servers()) {
      all.insert(server.incarnation());
    }
    return all;
  };
  std::set<uint64_t> all = incarnations();
  Kill(0);
  cluster_.StartServer(0);
  cluster_.WaitUntilUp();
  all.merge(incarnations());
  EXPECT_EQ(all.size(), 3u);  // two, and a new one
  EXPECT_THAT(cluster_.log(0), HasSubstr("may be missing"));
}

// ---- Directories that are not this server's ---------------------------------

Ran StartOn(const std::string& dir, const Peer& coordinator) {
  return RunBinary("paramo-server",
                   {"--data-dir", dir, "--coordinator", coordinator.address(),
                    "--listen", "127.0.0.1:0", "--metrics-listen",
                    "127.0.0.1:0", "--register-timeout", "2s"});
}

// PARAMO with `from` replaced and its checksum made right again.
void Forge(const std::string& dir, const std::string& from,
           const std::string& to) {
  const std::string file = dir + "/PARAMO";
  std::string text = ReadWholeFile(file);
  text = text.substr(0, text.rfind("crc32"));
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << text;
  text.replace(at, from.size(), to);
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(text.data()),
                          static_cast<uInt>(text.size()));
  std::ofstream(file) << text << absl::StrFormat("crc32 %08x\n", crc);
}

TEST(DataDirectory, OneThatIsNotThisServersIsRefusedWithAReason) {
  TestCluster mine({.servers = 1});
  TestCluster other({.servers = 1});

  // In use.
  Ran ran = StartOn(mine.data_dir(0), mine.coordinator());
  EXPECT_EQ(ran.outcome, "exit status 1");
  EXPECT_THAT(ran.output, HasSubstr(absl::StrCat(mine.pid(0)))) << ran.output;

  // Of another cluster.
  ASSERT_EQ(mine.StopServer(0, SIGTERM), kStopped);
  ran = StartOn(mine.data_dir(0), other.coordinator());
  EXPECT_EQ(ran.outcome, "exit status 1");
  EXPECT_THAT(ran.output, HasSubstr("belongs to cluster"));
  EXPECT_TRUE(other.Running(0));

  // Of another format, then damaged, then somebody else's.
  Forge(mine.data_dir(0), "format 1", "format 9");
  ran = StartOn(mine.data_dir(0), mine.coordinator());
  EXPECT_EQ(ran.outcome, "exit status 1");
  EXPECT_THAT(ran.output, AllOf(HasSubstr("format"), HasSubstr("9")));
  std::ofstream(mine.data_dir(0) + "/PARAMO", std::ios::app) << "x";
  ran = StartOn(mine.data_dir(0), mine.coordinator());
  EXPECT_EQ(ran.outcome, "exit status 1");
  EXPECT_THAT(ran.output, HasSubstr("PARAMO"));
  const TempDir foreign;
  foreign.Write("thesis.tex", "\\documentclass{article}");
  ran = StartOn(foreign.path(), mine.coordinator());
  EXPECT_EQ(ran.outcome, "exit status 1");
  EXPECT_THAT(ran.output, HasSubstr(foreign.path()));
  EXPECT_EQ(ReadWholeFile(foreign.path() + "/thesis.tex"),
            "\\documentclass{article}");
}

}  // namespace
}  // namespace paramo::test
