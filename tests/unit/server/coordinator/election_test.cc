#include "server/coordinator/election.h"

#include "gmock/gmock.h"
#include "tests/unit/server/coordinator/failing_kv.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

// Two candidates over one store, and one clock for all three.
class ElectionTest : public testing::Test {
 protected:
  static ElectionOptions Options(const std::string& address) {
    ElectionOptions options;
    options.address = address;
    options.ttl = absl::Seconds(2);
    options.margin = absl::Milliseconds(300);
    return options;
  }
  bool Campaign(Election& candidate) {
    auto won = candidate.Campaign();
    EXPECT_TRUE(won.ok()) << won.status();
    return won.ok() && *won;
  }
  void Pass(absl::Duration time) { kv_.clock().Advance(time); }
  bool Write(const StoreFence& fence) {
    KvTxn txn;
    txn.compares.push_back(
        {fence.key, KvCompare::Target::kCreateRevision, fence.create_revision});
    txn.puts.push_back({"k", "v", 0});
    return kv_.Txn(txn)->succeeded;
  }

  FailingKv kv_;
  Election a_{kv_, kv_.clock(), Options("a:1")};
  Election b_{kv_, kv_.clock(), Options("b:1")};
};

TEST_F(ElectionTest, OneOfTwoLeadsAndTheOtherKnowsWho) {
  EXPECT_FALSE(a_.Leads());
  EXPECT_TRUE(Campaign(a_));
  EXPECT_TRUE(a_.Leads());
  EXPECT_FALSE(Campaign(b_));
  EXPECT_FALSE(b_.Leads());
  EXPECT_EQ(b_.Look()->address, "a:1");
  EXPECT_TRUE(b_.Look()->there);
}

TEST_F(ElectionTest, ADeadLeaderIsReplacedWhenItsLeaseIsOver) {
  EXPECT_TRUE(Campaign(a_));
  Pass(absl::Milliseconds(1999));
  EXPECT_FALSE(Campaign(b_));
  Pass(absl::Milliseconds(1));
  EXPECT_TRUE(Campaign(b_));
}

TEST_F(ElectionTest, ALeaderStopsBeforeItsLeaseIsOver) {
  EXPECT_TRUE(Campaign(a_));
  Pass(absl::Milliseconds(1699));
  EXPECT_TRUE(a_.Leads());
  Pass(absl::Milliseconds(1));
  EXPECT_FALSE(a_.Leads());
  EXPECT_FALSE(Campaign(b_));  // the lease lasts 300 ms more
}

TEST_F(ElectionTest, RenewingKeepsTheLead) {
  EXPECT_TRUE(Campaign(a_));
  for (int i = 0; i < 10; ++i) {
    Pass(absl::Seconds(1));
    EXPECT_TRUE(a_.Renew().ok());
    EXPECT_TRUE(a_.Leads());
  }
  EXPECT_FALSE(Campaign(b_));
}

TEST_F(ElectionTest, ADeadLeaseCannotBeRenewed) {
  EXPECT_TRUE(Campaign(a_));
  Pass(absl::Seconds(3));
  EXPECT_CODE(kAborted, a_.Renew());
  EXPECT_FALSE(a_.Leads());
}

TEST_F(ElectionTest, AnAnswerAfterTheDeadlineDoesNotBringTheLeadBack) {
  EXPECT_TRUE(Campaign(a_));
  Pass(absl::Milliseconds(1800));  // past the deadline, within the lease
  EXPECT_TRUE(a_.Renew().ok());
  EXPECT_FALSE(a_.Leads());
}

TEST_F(ElectionTest, ResigningLetsOthersLeadAtOnce) {
  EXPECT_TRUE(Campaign(a_));
  EXPECT_TRUE(a_.Resign().ok());
  EXPECT_FALSE(a_.Leads());
  EXPECT_TRUE(Campaign(b_));
  EXPECT_TRUE(a_.Resign().ok());  // takes nothing from b
  EXPECT_TRUE(b_.Look()->there);
}

TEST_F(ElectionTest, TheFenceOfAnOldTermHoldsNoMore) {
  EXPECT_TRUE(Campaign(a_));
  const StoreFence old = a_.fence();
  EXPECT_TRUE(Write(old));
  Pass(absl::Seconds(2));
  EXPECT_TRUE(Campaign(b_));
  EXPECT_FALSE(Write(old));
  EXPECT_TRUE(Write(b_.fence()));
  EXPECT_FALSE(old.holds());
  EXPECT_TRUE(b_.fence().holds());
}

TEST_F(ElectionTest, TheSameCandidateAgainHasAnotherFence) {
  EXPECT_TRUE(Campaign(a_));
  const StoreFence old = a_.fence();
  EXPECT_TRUE(a_.Resign().ok());
  EXPECT_TRUE(Campaign(a_));
  EXPECT_FALSE(Write(old));
  EXPECT_TRUE(Write(a_.fence()));
}

TEST_F(ElectionTest, AWonCampaignWhoseAnswerIsLostIsRecognised) {
  kv_.answers_lost = 1;
  EXPECT_TRUE(Campaign(a_));
  EXPECT_TRUE(a_.Leads());
  EXPECT_TRUE(Write(a_.fence()));
}

TEST_F(ElectionTest, ACampaignThatWasLostOnTheWayWinsNothing) {
  kv_.txns_lost = 1;
  EXPECT_CODE(kUnavailable, a_.Campaign());
  EXPECT_FALSE(a_.Leads());
  EXPECT_TRUE(Campaign(b_));
}

TEST_F(ElectionTest, AKeyPutByHandIsNotMine) {
  KvTxn txn;
  txn.puts.push_back({kLeaderKey, "by hand", 0});
  ASSERT_TRUE(kv_.Txn(txn).ok());
  EXPECT_FALSE(Campaign(a_));
  auto look = a_.Look();
  EXPECT_TRUE(look->there);
  EXPECT_EQ(look->address, "");
  EXPECT_EQ(look->lease, 0);
}

TEST_F(ElectionTest, ResigningRemovesAKeyThatLostItsLease) {
  EXPECT_TRUE(Campaign(a_));
  KvTxn txn;  // written over: same creation, no lease
  txn.puts.push_back({kLeaderKey, "by hand", 0});
  ASSERT_TRUE(kv_.Txn(txn).ok());
  EXPECT_TRUE(a_.Resign().ok());
  EXPECT_TRUE(Campaign(b_));
}

}  // namespace
}  // namespace paramo
