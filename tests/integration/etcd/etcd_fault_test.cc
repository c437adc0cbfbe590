// What etcd and the way to it do wrong, one test per pitfall.
#include <signal.h>

#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "server/coordinator/election.h"
#include "server/coordinator/etcd_kv.h"
#include "server/coordinator/state_store.h"
#include "tests/integration/cluster/harness.h"
#include "tests/integration/etcd/etcd_cluster.h"
#include "tests/integration/etcd/etcd_proxy.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

using test::EtcdFault;
using test::EtcdProxy;
using test::SharedEtcd;
using test::WaitUntil;
using testing::HasSubstr;

class EtcdFaultTest : public testing::Test {
 protected:
  std::unique_ptr<KvStore> Open(std::vector<std::string> endpoints,
                                absl::Duration try_timeout = absl::Seconds(5)) {
    EtcdKvOptions options;
    options.endpoints = std::move(endpoints);
    options.prefix = prefix_;
    options.call_timeout = 3 * try_timeout;
    options.try_timeout = try_timeout;
    auto store = OpenEtcdKv(options);
    EXPECT_TRUE(store.ok()) << store.status();
    return std::move(*store);
  }
  // Through the proxy only; and straight to every member.
  std::unique_ptr<KvStore> Proxied() { return Open({proxy_.address()}); }
  std::unique_ptr<KvStore> Direct() { return Open(SharedEtcd().endpoints()); }

  static absl::StatusOr<KvTxnResult> Put(KvStore& kv, const std::string& key,
                                         const std::string& value) {
    KvTxn txn;
    txn.puts.push_back({key, value, 0});
    return kv.Txn(txn);
  }
  static std::string Get(KvStore& kv, const std::string& key) {
    auto range = kv.Range(key);
    EXPECT_TRUE(range.ok()) << range.status();
    return range.ok() && range->entries.size() == 1 ? range->entries[0].value
                                                    : "(none)";
  }

  const std::string prefix_ = "/paramo/" + test::UniqueName() + "/";
  EtcdProxy proxy_{SharedEtcd().endpoint(0)};
};

// ---- Answers ----------------------------------------------------------------

TEST_F(EtcdFaultTest, ATransactionIsNotSentTwiceWhenItsAnswerIsLost) {
  auto kv = Proxied();
  ASSERT_TRUE(Put(*kv, "k", "1").ok());
  const int before = proxy_.calls("Txn");
  proxy_.Break({.method = "Txn", .forward = true});
  EXPECT_CODE(kUnavailable, Put(*kv, "k", "2"));
  EXPECT_EQ(proxy_.calls("Txn"), before + 1);
  EXPECT_EQ(Get(*kv, "k"), "2");  // it did happen
}

TEST_F(EtcdFaultTest, ATransactionThatSurelyDidNotHappenIsSentAgain) {
  auto kv = Proxied();
  proxy_.Break(
      {.method = "Txn", .calls = 3, .message = "etcdserver: no leader"});
  EXPECT_TRUE(Put(*kv, "k", "1").ok());
  EXPECT_EQ(proxy_.calls("Txn"), 4);
}

TEST_F(EtcdFaultTest, AReadIsRepeated) {
  auto kv = Proxied();
  ASSERT_TRUE(Put(*kv, "k", "1").ok());
  proxy_.Break({.method = "Range", .calls = 3});
  EXPECT_EQ(Get(*kv, "k"), "1");
}

TEST_F(EtcdFaultTest, TheLeadersWriteSurvivesALostAnswer) {
  auto kv = Proxied();
  SteadyClock clock;
  Election election(*kv, clock, {.address = "a:1", .ttl = absl::Seconds(60)});
  proxy_.Break({.method = "Txn", .forward = true});  // the campaign's
  auto won = election.Campaign();
  ASSERT_TRUE(won.ok()) << won.status();
  EXPECT_TRUE(*won);
  StateStore store(*kv, election.fence());
  ASSERT_TRUE(store.Load().ok());
  proxy_.Break({.method = "Txn", .forward = true});
  proxy_.Break({.method = "Txn", .calls = 2});
  for (int i = 0; i < 3; ++i) {
    Changes changes;
    changes.Put("a", absl::StrCat(i));
    auto committed = store.Commit(changes);
    EXPECT_TRUE(committed.ok()) << committed.status();
    EXPECT_EQ(Get(*kv, "a"), absl::StrCat(i));
  }
}

TEST_F(EtcdFaultTest, ADeadLeaseAnswersAKeepaliveWithZeroSeconds) {
  auto kv = Direct();
  SteadyClock clock;
  Election election(*kv, clock, {.address = "a:1", .ttl = absl::Seconds(60)});
  ASSERT_TRUE(*election.Campaign());
  ASSERT_TRUE(election.Renew().ok());
  ASSERT_TRUE(kv->RevokeLease(election.Look()->lease).ok());
  EXPECT_CODE(kAborted, election.Renew());
  EXPECT_FALSE(election.Leads());
}

TEST_F(EtcdFaultTest, ASlowMemberIsPassedOver) {
  auto kv = Open({proxy_.address(), SharedEtcd().endpoint(1)},
                 /*try_timeout=*/absl::Seconds(1));
  ASSERT_TRUE(Put(*kv, "k", "1").ok());
  proxy_.Break({.method = "Range", .forward = true, .delay = absl::Seconds(4)});
  const absl::Time start = absl::Now();
  EXPECT_EQ(Get(*kv, "k"), "1");
  EXPECT_LT(absl::Now() - start, absl::Seconds(3));
}

TEST_F(EtcdFaultTest, AFullEtcdTakesNoWritesAndKeepsWhatItHas) {
  auto kv = Direct();
  ASSERT_TRUE(Put(*kv, "k", "1").ok());
  auto lease = kv->GrantLease(absl::Seconds(60));
  ASSERT_TRUE(lease.ok());
  SharedEtcd().SetNoSpace(true);
  auto refused = Put(*kv, "k", "2");
  EXPECT_CODE(kResourceExhausted, refused);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("NOSPACE"));
  EXPECT_CODE(kResourceExhausted, kv->GrantLease(absl::Seconds(60)));
  EXPECT_EQ(Get(*kv, "k"), "1");
  EXPECT_GT(*kv->KeepLeaseAlive(*lease), absl::ZeroDuration());
  SharedEtcd().SetNoSpace(false);
  EXPECT_TRUE(Put(*kv, "k", "2").ok());
}

TEST_F(EtcdFaultTest, APasswordWantedIsSaidSo) {
  auto kv = Proxied();
  proxy_.Break({.method = "Range",
                .code = 3,
                .message = "etcdserver: user name is empty"});
  auto range = kv->Range("");
  EXPECT_CODE(kFailedPrecondition, range);
  EXPECT_THAT(std::string(range.status().message()), HasSubstr("password"));
}

TEST_F(EtcdFaultTest, AMemberOfAnotherEtcdIsNotUsed) {
  auto kv = Open({SharedEtcd().endpoint(1), proxy_.address()});
  ASSERT_TRUE(Put(*kv, "k", "1").ok());
  proxy_.PretendCluster(4711);
  auto other = Open({proxy_.address(), SharedEtcd().endpoint(1)});
  ASSERT_TRUE(other->Range("").ok());  // the first one seen is ours
  const int writes = proxy_.calls("Txn");
  SharedEtcd().Kill(1);  // all that is left for `kv` is the wrong one
  EXPECT_TRUE(WaitUntil(
      [&] { return absl::IsFailedPrecondition(Put(*kv, "k", "2").status()); }));
  EXPECT_EQ(proxy_.calls("Txn"), writes);
  SharedEtcd().Start(1);
  EXPECT_TRUE(WaitUntil([&] { return Put(*kv, "k", "3").ok(); }));
}

TEST_F(EtcdFaultTest, AnEtcdThatWentBackInTimeIsNotFollowed) {
  auto kv = Proxied();
  ASSERT_TRUE(Put(*kv, "k", "1").ok());
  proxy_.PretendRevisionsBack(1);
  EXPECT_CODE(kDataLoss, kv->Range(""));
  EXPECT_CODE(kDataLoss, kv->Range(""));
}

TEST_F(EtcdFaultTest, NobodyThereIsAnErrorInTime) {
  std::string nowhere;
  {
    EtcdProxy gone(SharedEtcd().endpoint(0));
    nowhere = gone.address();
  }
  auto kv = Open({nowhere}, /*try_timeout=*/absl::Milliseconds(200));
  const absl::Time start = absl::Now();
  EXPECT_CODE(kUnavailable, kv->Range(""));
  EXPECT_CODE(kUnavailable, Put(*kv, "k", "1"));
  auto watch = kv->Watch("", 1);
  ASSERT_TRUE(watch.ok());
  EXPECT_CODE(kUnavailable, (*watch)->Next(absl::Milliseconds(100)));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

// ---- Watches ----------------------------------------------------------------

TEST_F(EtcdFaultTest, ASilentWatchIsMadeAgainElsewhere) {
  auto kv = Open({proxy_.address(), SharedEtcd().endpoint(1)});
  auto revision = Put(*kv, "k", "0");
  ASSERT_TRUE(revision.ok());
  auto watch = kv->Watch("k", revision->revision + 1);
  ASSERT_TRUE(watch.ok());
  auto direct = Direct();
  ASSERT_TRUE(Put(*direct, "k", "1").ok());
  EXPECT_EQ((*watch)->Next(absl::Seconds(20))->size(), 1u);

  proxy_.SilenceWatches(true);
  ASSERT_TRUE(Put(*direct, "k", "2").ok());
  auto events = (*watch)->Next(absl::Seconds(20));
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0].entry.value, "2");
  EXPECT_EQ(proxy_.calls("Watch"), 1);  // the other one told it
}

TEST_F(EtcdFaultTest, AQuietWatchStaysWhereItIs) {
  auto kv = Proxied();
  auto put = Put(*kv, "k", "0");
  ASSERT_TRUE(put.ok());
  auto watch = kv->Watch("k", put->revision + 1);
  ASSERT_TRUE(watch.ok());
  // Three times as long as it takes to ask for a sign of life.
  auto events = (*watch)->Next(absl::Milliseconds(3500));
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_TRUE(events->empty());
  EXPECT_EQ(proxy_.calls("Watch"), 1);
}

TEST_F(EtcdFaultTest, AWatchThatCannotBeMadeIsTriedAgain) {
  auto kv = Proxied();
  auto put = Put(*kv, "k", "1");
  ASSERT_TRUE(put.ok());
  proxy_.Break({.method = "Watch", .calls = 3});
  auto watch = kv->Watch("k", put->revision);
  ASSERT_TRUE(watch.ok());
  auto events = (*watch)->Next(absl::Seconds(20));
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_EQ(events->size(), 1u);
}

TEST_F(EtcdFaultTest, AWatchThatBreaksResumesAfterCompactionOrSaysSo) {
  auto kv = Open({SharedEtcd().endpoint(0), SharedEtcd().endpoint(1)});
  auto direct = Open({SharedEtcd().endpoint(2)});
  auto put = Put(*direct, "k", "0");
  ASSERT_TRUE(put.ok());
  auto watch = kv->Watch("k", put->revision + 1);
  ASSERT_TRUE((*watch)->Next(absl::Milliseconds(200)).ok());
  SharedEtcd().Kill(0);  // the member it is on
  int64_t newest = 0;
  ASSERT_TRUE(WaitUntil([&] {
    auto written = Put(*direct, "k", "1");
    if (written.ok()) written = Put(*direct, "k", "1 too");
    if (written.ok()) newest = written->revision;
    return written.ok();
  }));
  ASSERT_TRUE(direct->Compact(newest).ok());
  EXPECT_CODE(kOutOfRange, (*watch)->Next(absl::Seconds(20)));
  auto range = kv->Range("k");
  ASSERT_TRUE(range.ok());
  auto again = kv->Watch("k", range->revision + 1);
  ASSERT_TRUE(Put(*direct, "k", "2").ok());
  auto events = (*again)->Next(absl::Seconds(20));
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0].entry.value, "2");
  SharedEtcd().Start(0);
  SharedEtcd().WaitForLeader();
}

// ---- Members that die -------------------------------------------------------

// Counts by guarded writes, while the etcd leader is killed: no increment is
// lost, none happens twice, and a watch sees each of them once, in order.
TEST_F(EtcdFaultTest, LossOfTheEtcdLeaderLosesNothing) {
  auto kv = Direct();
  SteadyClock clock;
  Election election(*kv, clock, {.address = "a:1", .ttl = absl::Seconds(60)});
  ASSERT_TRUE(*election.Campaign());
  StateStore store(*kv, election.fence());
  ASSERT_TRUE(store.Load().ok());
  auto watch = kv->Watch("count", election.create_revision());
  ASSERT_TRUE(watch.ok());

  const int leader = SharedEtcd().leader();
  ASSERT_GE(leader, 0);
  absl::Duration longest;
  for (int i = 1; i <= 200; ++i) {
    if (i == 50) SharedEtcd().Kill(leader);
    Changes changes;
    changes.Put("count", absl::StrCat(i));
    const absl::Time start = absl::Now();
    auto committed = store.Commit(changes);
    ASSERT_TRUE(committed.ok()) << i << ": " << committed.status();
    longest = std::max(longest, absl::Now() - start);
  }
  std::printf("loss of the etcd leader: longest write %.2f s\n",
              absl::ToDoubleSeconds(longest));
  int seen = 0;
  while (seen < 200) {
    auto events = (*watch)->Next(absl::Seconds(20));
    ASSERT_TRUE(events.ok()) << events.status();
    ASSERT_FALSE(events->empty());
    for (const KvEvent& event : *events) {
      EXPECT_EQ(event.entry.value, absl::StrCat(++seen));
    }
  }
  SharedEtcd().Start(leader);
  SharedEtcd().WaitForLeader();
}

TEST_F(EtcdFaultTest, AFrozenMemberIsPassedOver) {
  auto kv = Open({SharedEtcd().endpoint(0), SharedEtcd().endpoint(1),
                  SharedEtcd().endpoint(2)},
                 /*try_timeout=*/absl::Seconds(2));
  ASSERT_TRUE(Put(*kv, "k", "1").ok());
  SharedEtcd().Signal(0, SIGSTOP);
  EXPECT_TRUE(WaitUntil([&] {
    auto range = kv->Range("k");
    return range.ok() && range->entries.size() == 1;
  }));
  SharedEtcd().Signal(0, SIGCONT);
  SharedEtcd().WaitForLeader();
}

}  // namespace
}  // namespace paramo
