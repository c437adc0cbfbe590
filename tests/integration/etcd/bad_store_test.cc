// Coordinators over etcd when something is wrong with what etcd holds or says:
// the leading one steps down, answers UNAVAILABLE, and no map is ever made up.
// Row E1 of the list of bad inputs.
#include <grpcpp/grpcpp.h>

#include <map>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/transport/not_leading.h"
#include "common/transport/settings.h"
#include "gmock/gmock.h"
#include "paramo/v1/control.grpc.pb.h"
#include "server/coordinator/coordinator.h"
#include "server/coordinator/etcd_kv.h"
#include "tests/integration/cluster/harness.h"
#include "tests/integration/etcd/etcd_cluster.h"
#include "tests/integration/etcd/etcd_proxy.h"

namespace paramo {
namespace {

using test::SharedEtcd;
using test::WaitUntil;
using testing::HasSubstr;

// One coordinator in this process, and its service as a client sees it.
class Node {
 public:
  Node(const std::string& cluster, std::vector<std::string> endpoints) {
    CoordinatorOptions options;
    options.listen = "127.0.0.1:0";
    options.etcd = std::move(endpoints);
    options.cluster_name = cluster;
    options.shards = 8;
    options.etcd_history = absl::ZeroDuration();
    options.rule_check = [](absl::string_view,
                            const std::map<std::string, double>& params) {
      return absl::StatusOr<CheckedRule>(CheckedRule{"none", params});
    };
    auto started = Coordinator::Start(std::move(options));
    EXPECT_TRUE(started.ok()) << started.status();
    coordinator_ = std::move(*started);
    channel_ = MakeControlChannel(address());
  }
  const std::string& address() const { return coordinator_->address(); }
  void Stop() { coordinator_.reset(); }

  grpc::Status OpenSession(grpc::ClientContext& context) const {
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
    v1::OpenSessionReply reply;
    grpc::Status status =
        v1::Coordinator::NewStub(channel_)->OpenSession(&context, {}, &reply);
    if (status.ok()) session_ = reply.session();
    return status;
  }
  bool Leads() const {
    grpc::ClientContext context;
    return OpenSession(context).ok();
  }
  uint64_t session() const { return session_; }  // the last one opened

  absl::StatusOr<v1::ClusterState> State() const {
    return test::Peer(address()).State();
  }
  void RegisterServer() const {
    v1::RegisterServerRequest request;
    request.set_incarnation(11);
    request.set_address("127.0.0.1:7701");
    v1::RegisterServerReply reply;
    grpc::ClientContext context;
    grpc::Status status = v1::Coordinator::NewStub(channel_)->RegisterServer(
        &context, request, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

 private:
  std::unique_ptr<Coordinator> coordinator_;
  std::shared_ptr<grpc::Channel> channel_;
  mutable uint64_t session_ = 0;
};

class BadStoreTest : public testing::Test {
 protected:
  BadStoreTest() {
    EtcdKvOptions options;
    options.endpoints = SharedEtcd().endpoints();
    options.prefix = absl::StrCat("/paramo/", cluster_, "/");
    hand_ = *OpenEtcdKv(options);
  }
  void StartOne() { StartOne(SharedEtcd().endpoints()); }
  void StartOne(std::vector<std::string> endpoints) {
    one_ = std::make_unique<Node>(cluster_, std::move(endpoints));
    ASSERT_TRUE(WaitUntil([this] { return one_->Leads(); }));
    one_->RegisterServer();  // so that shards are placed
    ASSERT_TRUE(WaitUntil([this] {
      auto state = one_->State();
      return state.ok() && state->shards(7).primary() != 0;
    }));
    ASSERT_TRUE(one_->Leads());  // a step later, that is noted
    ASSERT_TRUE(one_->Leads());
  }
  std::map<std::string, KvEntry> Entries() {
    std::map<std::string, KvEntry> entries;
    auto range = hand_->Range("");
    EXPECT_TRUE(range.ok()) << range.status();
    for (const KvEntry& entry : range->entries) entries[entry.key] = entry;
    return entries;
  }
  void Put(const std::string& key, const std::string& value) {
    KvTxn txn;
    txn.puts.push_back({key, value, 0});
    ASSERT_TRUE(hand_->Txn(txn).ok());
  }
  void Delete(const std::string& key) {
    KvTxn txn;
    txn.deletes.push_back(key);
    ASSERT_TRUE(hand_->Txn(txn).ok());
  }
  int64_t LeaderSince() {
    auto entries = Entries();
    auto leader = entries.find("leader");
    return leader == entries.end() ? 0 : leader->second.create_revision;
  }

  const std::string cluster_ = test::UniqueName();
  std::unique_ptr<KvStore> hand_;  // of somebody at the console
  std::unique_ptr<Node> one_;
};

TEST_F(BadStoreTest, TheOneThatDoesNotLeadNamesTheOneThatDoes) {
  StartOne();
  Node two(cluster_, SharedEtcd().endpoints());
  grpc::Status status;
  EXPECT_TRUE(WaitUntil([&] {
    grpc::ClientContext context;
    status = two.OpenSession(context);
    return absl::StrContains(status.error_message(), one_->address()) &&
           context.GetServerTrailingMetadata().count(kNotLeadingKey) == 1;
  })) << status.error_message();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  auto state = two.State();
  EXPECT_EQ(state.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(state.status().message()),
              HasSubstr(one_->address()));
}

TEST_F(BadStoreTest, AnOrderlyStopHandsOverAtOnce) {
  StartOne();
  const v1::ClusterState before = *one_->State();
  Node two(cluster_, SharedEtcd().endpoints());
  ASSERT_FALSE(two.Leads());
  const absl::Time start = absl::Now();
  one_->Stop();
  const absl::Time stopped = absl::Now();
  ASSERT_TRUE(WaitUntil([&] { return two.Leads(); }));
  std::printf("handed over %.0f ms after the stop, which took %.0f ms\n",
              absl::ToDoubleMilliseconds(absl::Now() - stopped),
              absl::ToDoubleMilliseconds(stopped - start));
  const v1::ClusterState after = *two.State();
  EXPECT_EQ(after.cluster_id(), before.cluster_id());
  EXPECT_GT(after.version(), before.version());
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(after.shards(i).SerializeAsString(),
              before.shards(i).SerializeAsString());
  }
}

TEST_F(BadStoreTest, E1_SessionsAreNumberedOnceOverTerms) {
  StartOne();
  uint64_t last = one_->session();
  for (int term = 0; term < 3; ++term) {
    const int64_t since = LeaderSince();
    Delete("leader");
    ASSERT_TRUE(WaitUntil([&] {
      const int64_t now = LeaderSince();
      return now != 0 && now != since && one_->Leads();
    }));
    EXPECT_GT(one_->session(), last);
    last = one_->session();
  }
}

TEST_F(BadStoreTest, E1_ALeadersKeyDeletedByHandMeansANewTerm) {
  StartOne();
  const v1::ClusterState before = *one_->State();
  const int64_t since = LeaderSince();
  Delete("leader");
  ASSERT_TRUE(WaitUntil([&] {
    const int64_t now = LeaderSince();
    return now != 0 && now != since && one_->Leads();
  }));
  EXPECT_EQ(one_->State()->cluster_id(), before.cluster_id());
  EXPECT_GT(one_->State()->version(), before.version());
}

TEST_F(BadStoreTest, E1_ALeadersKeyWrittenOverIsGivenUpAndMadeAgain) {
  StartOne();
  const int64_t since = LeaderSince();
  Put("leader", "stolen");
  ASSERT_TRUE(WaitUntil([&] {
    const int64_t now = LeaderSince();
    return now != 0 && now != since && one_->Leads();
  }));
  EXPECT_NE(Entries()["leader"].lease, 0);
}

TEST_F(BadStoreTest, E1_AForeignKeyWithoutLeaseIsWaitedFor) {
  Put("leader", "somebody");
  one_ = std::make_unique<Node>(cluster_, SharedEtcd().endpoints());
  EXPECT_FALSE(one_->Leads());
  EXPECT_EQ(Entries().size(), 1u);  // nothing was made
  Delete("leader");
  EXPECT_TRUE(WaitUntil([this] { return one_->Leads(); }));
}

// Damages one entry while a coordinator leads, forces a new term, and expects
// that nobody leads and nothing is written until the entry is as it was.
class DamageTest : public BadStoreTest,
                   public testing::WithParamInterface<
                       std::pair<const char*, std::optional<std::string>>> {};

TEST_P(DamageTest, E1_NobodyLeadsUntilItIsMended) {
  StartOne();
  const auto& [key, damage] = GetParam();
  const v1::ClusterState before = *one_->State();
  const std::string good = Entries()[key].value;
  if (damage.has_value()) {
    Put(key, *damage);
  } else {
    Delete(key);
  }
  Delete("leader");
  ASSERT_TRUE(WaitUntil([this] { return !one_->Leads(); }));
  ASSERT_TRUE(WaitUntil([this] { return !one_->State().ok(); }));
  // It tries again and again, and leaves everything as it is.
  auto entries = Entries();
  const absl::Time until = absl::Now() + absl::Seconds(3);
  while (absl::Now() < until) {
    EXPECT_FALSE(one_->Leads());
    EXPECT_FALSE(one_->State().ok());
    absl::SleepFor(absl::Milliseconds(50));
  }
  auto later = Entries();
  entries.erase("leader");
  later.erase("leader");
  EXPECT_EQ(later.size(), entries.size());
  for (const auto& [name, entry] : entries) {
    EXPECT_EQ(later[name].mod_revision, entry.mod_revision) << name;
  }

  Put(key, good);
  ASSERT_TRUE(WaitUntil([this] { return one_->Leads(); }));
  auto after = one_->State();
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->cluster_id(), before.cluster_id());
  EXPECT_EQ(after->shards(3).epoch(), before.shards(3).epoch());
}

INSTANTIATE_TEST_SUITE_P(
    Entries, DamageTest,
    testing::Values(std::make_pair("cluster", std::nullopt),
                    std::make_pair("shards/3", std::nullopt),
                    std::make_pair("servers/1", std::nullopt),
                    std::make_pair("sessions/next", std::nullopt),
                    std::make_pair("shards/3", std::string("\xff rubbish")),
                    std::make_pair("cluster", std::string("\xff"))));

TEST_F(BadStoreTest, E1_AnEntryChangedUnderTheLeaderEndsItsTerm) {
  StartOne();
  const int64_t since = LeaderSince();
  Put("sessions/next", "5000");
  // The next block of numbers is guarded by the revision that was seen.
  ASSERT_TRUE(WaitUntil(
      [&] {
        (void)one_->Leads();
        return LeaderSince() != since && LeaderSince() != 0 && one_->Leads();
      },
      absl::Seconds(60)));
  EXPECT_GE(one_->session(), 5000u);
}

TEST_F(BadStoreTest, E1_AFullEtcdEndsTheTermAndRoomBeginsANewOne) {
  StartOne();
  const v1::ClusterState before = *one_->State();
  SharedEtcd().SetNoSpace(true);
  const int64_t since = LeaderSince();
  // Reads go on; the first write fails, and with it the term.
  ASSERT_TRUE(WaitUntil([this] { return !one_->Leads(); }, absl::Seconds(60)));
  EXPECT_TRUE(WaitUntil([&] { return LeaderSince() != since; }));
  SharedEtcd().SetNoSpace(false);
  ASSERT_TRUE(WaitUntil([this] { return one_->Leads(); }));
  EXPECT_EQ(one_->State()->cluster_id(), before.cluster_id());
}

TEST_F(BadStoreTest, E1_ALeaderCutOffFromEtcdStepsDownByItself) {
  auto proxy = std::make_unique<test::EtcdProxy>(SharedEtcd().endpoint(0));
  Node cut_off(cluster_, {proxy->address()});
  ASSERT_TRUE(WaitUntil([&] { return cut_off.Leads(); }));
  Node other(cluster_, SharedEtcd().endpoints());
  EXPECT_FALSE(other.Leads());
  proxy.reset();
  // At no time do both answer; a session is never numbered twice.
  std::set<uint64_t> sessions;
  ASSERT_TRUE(WaitUntil([&] {
    for (Node* node : {&cut_off, &other}) {
      if (!node->Leads()) continue;
      EXPECT_TRUE(sessions.insert(node->session()).second);
      if (node == &other) return true;
    }
    return false;
  }));
  EXPECT_FALSE(cut_off.Leads());
}

// One coordinator, whose only way to etcd is a proxy.
class ProxiedTest : public BadStoreTest {
 protected:
  ProxiedTest() { StartOne({proxy_.address()}); }

  void BreakAll(const test::EtcdFault& how) {
    for (const char* method :
         {"Range", "Txn", "LeaseGrant", "LeaseKeepAlive", "LeaseRevoke"}) {
      test::EtcdFault fault = how;
      fault.method = method;
      fault.calls = 1'000'000;
      proxy_.Break(fault);
    }
  }
  // While etcd is as `spoil` makes it nobody leads and nothing is written, and
  // afterwards everything is as it was.
  void ExpectNothingIsMadeUp(const std::function<void()>& spoil,
                             const std::function<void()>& mend) {
    const v1::ClusterState before = *one_->State();
    spoil();
    ASSERT_TRUE(WaitUntil([this] { return !one_->Leads(); }));
    ASSERT_TRUE(WaitUntil([this] { return !one_->State().ok(); }));
    EXPECT_EQ(one_->State().status().code(), absl::StatusCode::kUnavailable);
    auto entries = Entries();
    const int asked = proxy_.calls("Range");
    ASSERT_TRUE(WaitUntil([&] { return proxy_.calls("Range") > asked + 2; }));
    EXPECT_FALSE(one_->Leads());
    auto later = Entries();
    entries.erase("leader");
    later.erase("leader");
    EXPECT_EQ(later.size(), entries.size());
    for (const auto& [name, entry] : entries) {
      EXPECT_EQ(later[name].mod_revision, entry.mod_revision) << name;
    }
    mend();
    ASSERT_TRUE(WaitUntil([this] { return one_->Leads(); }));
    const v1::ClusterState after = *one_->State();
    EXPECT_EQ(after.cluster_id(), before.cluster_id());
    EXPECT_GT(after.version(), before.version());
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(after.shards(i).history(), before.shards(i).history());
      EXPECT_GE(after.shards(i).epoch(), before.shards(i).epoch());
    }
  }

  test::EtcdProxy proxy_{SharedEtcd().endpoint(0)};
};

TEST_F(ProxiedTest, E1_AnEtcdThatWantsAPasswordEndsTheTerm) {
  ExpectNothingIsMadeUp(
      [this] {
        BreakAll({.code = 3, .message = "etcdserver: user name is empty"});
      },
      [this] { proxy_.Mend(); });
}

TEST_F(ProxiedTest, E1_AnEtcdThatIsTooSlowEndsTheTerm) {
  ExpectNothingIsMadeUp([this] { BreakAll({.delay = absl::Seconds(2)}); },
                        [this] { proxy_.Mend(); });
}

TEST_F(ProxiedTest, E1_AnotherEtcdIsNotTakenForTheOne) {
  ExpectNothingIsMadeUp([this] { proxy_.PretendCluster(4711); },
                        [this] { proxy_.PretendCluster(0); });
}

TEST_F(ProxiedTest, E1_AnEtcdThatWentBackInTimeEndsTheTerm) {
  ExpectNothingIsMadeUp([this] { proxy_.PretendRevisionsBack(1'000'000); },
                        [this] { proxy_.PretendRevisionsBack(0); });
}

// The watch of `leader` has to range again, and sees as much as before.
TEST_F(ProxiedTest, E1_CompactionUnderASilentWatchHidesNothing) {
  const int64_t since = LeaderSince();
  const int watches = proxy_.calls("Watch");
  proxy_.SilenceWatches(true);
  EtcdKvOptions options;  // of some other user of this etcd
  options.endpoints = SharedEtcd().endpoints();
  options.prefix = absl::StrCat("/", test::UniqueName(), "/");
  auto elsewhere = *OpenEtcdKv(options);
  for (int i = 0; i < 10; ++i) {
    KvTxn txn;
    txn.puts.push_back({"k", "changed", 0});
    ASSERT_TRUE(elsewhere->Txn(txn).ok());
  }
  ASSERT_TRUE(hand_->Compact(hand_->Range("")->revision).ok());
  ASSERT_TRUE(WaitUntil([&] { return proxy_.calls("Watch") > watches; }));
  proxy_.SilenceWatches(false);
  EXPECT_TRUE(one_->Leads());
  EXPECT_EQ(LeaderSince(), since);
  Delete("leader");
  ASSERT_TRUE(WaitUntil([&] {
    const int64_t now = LeaderSince();
    return now != 0 && now != since && one_->Leads();
  }));
}

}  // namespace
}  // namespace paramo
