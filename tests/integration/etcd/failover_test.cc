// The whole thing with real processes: three members of etcd, coordinators,
// servers, and a client that pushes whole numbers all the time. Whatever is
// killed, no data request fails, and every sum is exact.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/local_cluster.h"
#include "paramo/job.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "tests/integration/cluster/harness.h"
#include "tests/integration/etcd/etcd_cluster.h"

namespace paramo::test {
namespace {

// Coordinators and servers as processes, over the shared etcd.
class Fleet {
 public:
  Fleet(int coordinators, int servers) : servers_(servers) {
    auto pipe = cli::Pipe::Make();
    EXPECT_TRUE(pipe.ok());
    lifeline_ = *std::move(pipe);
    nodes_.resize(coordinators);
    for (int i = 0; i < coordinators; ++i) StartCoordinator(i);
    for (int i = 0; i < servers; ++i) {
      Node& node = nodes_.emplace_back();
      Launch(node, absl::StrCat("server-", i), "paramo-server",
             {"--listen", "127.0.0.1:0", "--coordinator", addresses(),
              "--data-dir", absl::StrCat(dir_.path(), "/server-", i)});
    }
    for (Node& node : nodes_) Await(node);
  }

  void StartCoordinator(int i) {
    Node& node = nodes_[i];
    const std::string listen =
        node.address.empty() ? "127.0.0.1:0" : node.address;
    Launch(node, absl::StrCat("coordinator-", i), "paramo-coordinator",
           {"--listen", listen, "--store", SharedEtcd().url(), "--cluster-name",
            name_, "--servers", absl::StrCat(servers_)});
    Await(node);
  }

  std::string addresses() const {
    std::vector<std::string> all;
    for (const Node& node : nodes_) {
      if (absl::StartsWith(node.name, "coordinator")) {
        all.push_back(node.address);
      }
    }
    return absl::StrJoin(all, ",");
  }
  const std::string& address(int node) const { return nodes_[node].address; }
  // The coordinator that leads; -1: none says so.
  int Leader() const {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!absl::StartsWith(nodes_[i].name, "coordinator")) continue;
      if (Peer(nodes_[i].address).State().ok()) return static_cast<int>(i);
    }
    return -1;
  }
  // On a starved machine a leader may lose its lease and win it back.
  int AwaitLeader() const {
    int leader = -1;
    EXPECT_TRUE(
        WaitUntil([&] { return (leader = Leader()) >= 0; }, absl::Seconds(60)));
    return leader;
  }
  void Signal(int node, int signal) { nodes_[node].process->Signal(signal); }
  std::string Stop(int node, int signal) {
    Signal(node, signal);
    if (!nodes_[node].process->WaitFor(absl::Seconds(30))) return "runs on";
    return nodes_[node].process->Outcome();
  }
  std::string log(int node) const {
    return ReadWholeFile(
        absl::StrCat(dir_.path(), "/", nodes_[node].name, ".log"));
  }
  std::unique_ptr<Cluster> Connect() const {
    ConnectOptions options;
    options.addresses = addresses();
    options.timeout = std::chrono::seconds(60);
    auto cluster = Cluster::Connect(options);
    EXPECT_TRUE(cluster.ok()) << cluster.status().ToString() << log(0);
    return cluster.ok() ? *std::move(cluster) : nullptr;
  }

 private:
  struct Node {
    std::string name;
    std::string address;
    std::unique_ptr<cli::Process> process;
  };
  std::string ReadyFile(const Node& node) const {
    return absl::StrCat(dir_.path(), "/", node.name, ".ready");
  }
  void Launch(Node& node, const std::string& name, const std::string& binary,
              std::vector<std::string> args) {
    node.name = name;
    std::filesystem::remove(ReadyFile(node));
    for (const std::string& arg :
         {std::string("--ready-file"), ReadyFile(node),
          std::string("--parent-fd"), absl::StrCat(cli::kInheritedFd)}) {
      args.push_back(arg);
    }
    cli::ProcessOptions options;
    options.name = name;
    options.argv = {absl::StrCat(PARAMO_BINARY_DIR, "/", binary)};
    options.argv.insert(options.argv.end(), args.begin(), args.end());
    options.log_file = absl::StrCat(dir_.path(), "/", name, ".log");
    options.inherited_fd = lifeline_.read.get();
    auto process = cli::Process::Start(options);
    ASSERT_TRUE(process.ok()) << process.status();
    node.process = *std::move(process);
  }
  void Await(Node& node) {
    EXPECT_TRUE(WaitUntil(
        [&] {
          node.address = cli::ReadReadyFile(ReadyFile(node))["address"];
          return !node.address.empty() || !node.process->Running();
        },
        absl::Seconds(60)));
    ASSERT_FALSE(node.address.empty())
        << node.process->Outcome() << "\n"
        << ReadWholeFile(absl::StrCat(dir_.path(), "/", node.name, ".log"));
  }

  const int servers_;
  const std::string name_ = UniqueName();
  TempDir dir_;
  cli::Pipe lifeline_;
  std::vector<Node> nodes_;  // coordinators first
};

// Pushes ones to the same keys, and now and then pulls, until told to stop.
class Load {
 public:
  explicit Load(Table table) : table_(std::move(table)) {
    for (uint64_t key = 0; key < 500; ++key) keys_.push_back(key);
    thread_ = std::thread([this] { Run(); });
  }
  ~Load() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int pushes() const { return pushes_; }
  int failures() const { return failures_; }
  absl::Duration longest() const { return longest_; }  // after Stop
  const std::string& first_failure() const { return first_failure_; }

  // After Stop: every row is minus the number of pushes.
  void ExpectExact() {
    std::vector<float> rows(keys_.size() * 2);
    const Status pulled = table_.Pull(keys_, rows);
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    EXPECT_EQ(rows, std::vector<float>(rows.size(),
                                       -static_cast<float>(pushes_.load())));
  }

 private:
  void Run() {
    const std::vector<float> ones(keys_.size() * 2, 1);
    std::vector<float> rows(keys_.size() * 2);
    while (!stop_) {
      const absl::Time start = absl::Now();
      auto ack = table_.Push(keys_, ones);
      Note(ack.status());
      if (ack.ok()) ++pushes_;
      if (pushes_ % 8 == 0) Note(table_.Pull(keys_, rows));
      longest_ = std::max(longest_, absl::Now() - start);
    }
  }
  void Note(const Status& status) {
    if (status.ok()) return;
    if (failures_++ == 0) first_failure_ = status.ToString();
  }

  Table table_;
  std::vector<uint64_t> keys_;
  std::atomic<bool> stop_{false};
  std::atomic<int> pushes_{0};
  std::atomic<int> failures_{0};
  std::string first_failure_;
  absl::Duration longest_;
  std::thread thread_;
};

TableSpec Counting(const std::string& name) {
  TableSpec spec;
  spec.name = name;
  spec.dim = 2;
  spec.rule = {"sgd", {{"lr", 1.0}}};
  return spec;
}

// Seconds until a table can be created; each attempt has its own name.
double SecondsUntilATableIsMade(Cluster& cluster, const std::string& name) {
  const absl::Time start = absl::Now();
  EXPECT_TRUE(
      WaitUntil([&] { return cluster.CreateTable(Counting(name)).ok(); },
                absl::Seconds(60)));
  return absl::ToDoubleSeconds(absl::Now() - start);
}

// Two coordinators, servers, a client, and its load where a test wants one.
class FailoverTest : public ::testing::Test {
 protected:
  explicit FailoverTest(int servers = 2)
      : fleet_(/*coordinators=*/2, servers), cluster_(fleet_.Connect()) {}

  void SetUp() override { ASSERT_NE(cluster_, nullptr); }

  void StartLoad() {
    auto table = cluster_->CreateTable(Counting("load"));
    ASSERT_TRUE(table.ok()) << table.status().ToString();
    load_.emplace(*table);
    ExpectProgress();  // its session is opened: that takes a coordinator
  }
  // Every fault is one of a running system: load flows before and after.
  void ExpectProgress() {
    const int before = load_->pushes();
    EXPECT_TRUE(WaitUntil([&] { return load_->pushes() > before + 20; }));
  }
  void ExpectNothingLost() {
    load_->Stop();
    EXPECT_EQ(load_->failures(), 0) << load_->first_failure();
    load_->ExpectExact();
  }

  Fleet fleet_;
  std::unique_ptr<Cluster> cluster_;
  std::optional<Load> load_;
};

class OneServerTest : public FailoverTest {
 protected:
  OneServerTest() : FailoverTest(/*servers=*/1) {}
};

TEST_F(FailoverTest, PushesGoOnWhileCoordinatorsAndEtcdDie) {
  ASSERT_NO_FATAL_FAILURE(StartLoad());

  // 1. The leading coordinator.
  const int first = fleet_.AwaitLeader();
  ASSERT_GE(first, 0);
  fleet_.Stop(first, SIGKILL);
  const double after_coordinator = SecondsUntilATableIsMade(*cluster_, "a");
  EXPECT_EQ(fleet_.AwaitLeader(), 1 - first);
  ExpectProgress();

  // 2. A member of etcd that does not lead it.
  fleet_.StartCoordinator(first);
  const int etcd_leader = SharedEtcd().leader();
  const int follower = (etcd_leader + 1) % 3;
  SharedEtcd().Kill(follower);
  const double after_member = SecondsUntilATableIsMade(*cluster_, "b");
  ExpectProgress();
  SharedEtcd().Start(follower);
  SharedEtcd().WaitForLeader();

  // 3. The leading coordinator and the leading member together.
  const int second = fleet_.AwaitLeader();
  ASSERT_GE(second, 0);
  const int leader = SharedEtcd().leader();
  ASSERT_GE(leader, 0);
  fleet_.Signal(second, SIGKILL);
  SharedEtcd().Kill(leader);
  const double after_both = SecondsUntilATableIsMade(*cluster_, "c");
  ExpectProgress();
  SharedEtcd().Start(leader);
  SharedEtcd().WaitForLeader();
  fleet_.Stop(second, SIGKILL);
  fleet_.StartCoordinator(second);

  // 4. An orderly stop of the leading one.
  const int third = fleet_.AwaitLeader();
  ASSERT_GE(third, 0);
  EXPECT_EQ(fleet_.Stop(third, SIGTERM), "exit status 0");
  const double after_stop = SecondsUntilATableIsMade(*cluster_, "d");
  ExpectProgress();

  ExpectNothingLost();
  std::printf(
      "a table can be created again, after\n"
      "  kill -9 of the leading coordinator               %.2f s\n"
      "  kill -9 of a member of etcd                      %.2f s\n"
      "  kill -9 of the leading coordinator and member    %.2f s\n"
      "  SIGTERM of the leading coordinator               %.2f s\n"
      "%d pushes meanwhile, %d requests failed; the longest took %.0f ms\n",
      after_coordinator, after_member, after_both, after_stop, load_->pushes(),
      load_->failures(), absl::ToDoubleMilliseconds(load_->longest()));
}

TEST_F(FailoverTest, NoEtcdAtAllStopsOnlyChanges) {
  ASSERT_NO_FATAL_FAILURE(StartLoad());
  for (int i = 0; i < 3; ++i) SharedEtcd().Kill(i);
  ASSERT_TRUE(WaitUntil([&] { return fleet_.Leader() < 0; }));
  ExpectProgress();
  for (int i = 0; i < 3; ++i) SharedEtcd().Start(i);
  SharedEtcd().WaitForLeader();
  SecondsUntilATableIsMade(*cluster_, "later");
  ExpectProgress();
  ExpectNothingLost();
}

// A leader that stands still and comes back must not act on what it knew.
TEST_F(OneServerTest, AFrozenLeaderIsReplacedAndComesBackAsAFollower) {
  ASSERT_NO_FATAL_FAILURE(StartLoad());
  const int frozen = fleet_.AwaitLeader();
  ASSERT_GE(frozen, 0);
  fleet_.Signal(frozen, SIGSTOP);
  std::printf("frozen leader replaced: a table after %.2f s\n",
              SecondsUntilATableIsMade(*cluster_, "meanwhile"));
  fleet_.Signal(frozen, SIGCONT);
  EXPECT_TRUE(WaitUntil([&] {
    return absl::StrContains(fleet_.log(frozen), "leads no longer");
  })) << fleet_.log(frozen);
  // Whoever leads now, knows what was done while that one stood still.
  EXPECT_GE(fleet_.AwaitLeader(), 0);
  auto fresh = fleet_.Connect();
  ASSERT_NE(fresh, nullptr);
  EXPECT_TRUE(fresh->OpenTable("meanwhile").ok());
  ExpectProgress();
  ExpectNothingLost();
}

// A join is not sent twice by itself, so it must find the leader at once.
TEST_F(OneServerTest, AWorkerJoinsThroughWhicheverCoordinatorIsNamedFirst) {
  JobSpec job;
  job.name = "j";
  job.workers = 2;
  job.epochs = 1;
  job.examples = 10;
  job.batch = 10;
  ASSERT_TRUE(cluster_->CreateJob(job).ok());
  for (int first : {0, 1}) {
    ConnectOptions options;
    options.addresses =
        absl::StrCat(fleet_.address(first), ",", fleet_.address(1 - first));
    auto one = Cluster::Connect(options);
    ASSERT_TRUE(one.ok()) << one.status().ToString();
    auto member = Job::Join(**one, "j");
    ASSERT_TRUE(member.ok()) << member.status().ToString();
    EXPECT_TRUE((*member)->Leave().ok());
  }
}

// The mark is in the store, and so is what came of it. Of two servers the other
// one leads everything; nobody is there to take the backups.
TEST_F(FailoverTest, ADrainOutlivesTheLeader) {
  ASSERT_NO_FATAL_FAILURE(StartLoad());
  const Ran drained = RunBinary(
      "paramo", {"server", "drain", "2", "--address", fleet_.addresses()});
  EXPECT_EQ(drained.outcome, "exit status 0") << drained.output;
  EXPECT_THAT(drained.output, ::testing::HasSubstr("server 2 leads nothing"));
  fleet_.Stop(fleet_.AwaitLeader(), SIGKILL);
  const int next = fleet_.AwaitLeader();
  ASSERT_GE(next, 0);
  auto state = Peer(fleet_.address(next)).State();
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_FALSE(state->servers(0).drained());
  EXPECT_TRUE(state->servers(1).drained());
  for (const v1::Shard& shard : state->shards()) EXPECT_EQ(shard.primary(), 1u);
  ExpectProgress();
  ExpectNothingLost();
}

TEST_F(OneServerTest, StatusAndDoctorShowWhoLeads) {
  const int leader = fleet_.AwaitLeader();
  ASSERT_GE(leader, 0);
  const Ran status =
      RunBinary("paramo", {"status", "--address", fleet_.addresses()});
  EXPECT_THAT(status.output,
              ::testing::ContainsRegex(fleet_.address(leader) + " +leads"));
  EXPECT_THAT(status.output, ::testing::ContainsRegex(
                                 fleet_.address(1 - leader) + " +stands by"));
  const Ran doctor = RunBinary(
      "paramo",
      {"doctor", "--etcd", absl::StrJoin(SharedEtcd().endpoints(), ",")});
  EXPECT_THAT(doctor.output, ::testing::HasSubstr("leads"));
  EXPECT_THAT(doctor.output, ::testing::HasSubstr("follows"));
}

TEST(CoordinatorSettings, RefusesAStoreThatItCannotRead) {
  for (const char* store :
       {"etcd", "etcd://", "etcd://a", "etcd://a:1,a:1", "zookeeper://a:1"}) {
    const Ran ran = RunBinary("paramo-coordinator", {"--store", store});
    EXPECT_EQ(ran.outcome, "exit status 2") << store << ": " << ran.output;
    EXPECT_THAT(ran.output, ::testing::HasSubstr("--store")) << store;
  }
  const Ran name = RunBinary(
      "paramo-coordinator",
      {"--store", "etcd://127.0.0.1:1", "--cluster-name", "../other"});
  EXPECT_EQ(name.outcome, "exit status 1") << name.output;
  EXPECT_THAT(name.output, ::testing::HasSubstr("cluster name"));
}

}  // namespace
}  // namespace paramo::test
