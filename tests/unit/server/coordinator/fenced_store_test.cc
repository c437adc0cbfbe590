// What one of several coordinators writes and reads: the fence of StateStore,
// and what Core makes of a store that somebody has had his hands in.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/core.h"
#include "server/coordinator/election.h"
#include "tests/unit/server/coordinator/failing_kv.h"

namespace paramo {
namespace {

using testing::ElementsAre;
using testing::Pair;

class FencedStoreTest : public testing::Test {
 protected:
  FencedStoreTest() { Lead(); }
  // A new leader's key, and its store.
  void Lead() {
    Put("leader", "", /*remove=*/true);
    fence_ = {"leader", Put("leader", "me"), [this] { return holds_; }};
    store_ = std::make_unique<StateStore>(kv_, fence_);
    EXPECT_TRUE(store_->Load().ok());
  }
  int64_t Put(const std::string& key, const std::string& value,
              bool remove = false) {
    KvTxn txn;
    if (remove) {
      txn.deletes.push_back(key);
    } else {
      txn.puts.push_back({key, value, 0});
    }
    auto result = kv_.Txn(txn);
    EXPECT_TRUE(result.ok());
    return result->revision;
  }
  absl::Status Commit(const std::string& key, const std::string& value) {
    Changes changes;
    changes.Put(key, value);
    return store_->Commit(changes).status();
  }
  std::string Value(const std::string& key) {
    const KvRange range = *kv_.Range(key);
    for (const KvEntry& entry : range.entries) {
      if (entry.key == key) return entry.value;
    }
    return "(none)";
  }

  FailingKv kv_;
  bool holds_ = true;
  StoreFence fence_;
  std::unique_ptr<StateStore> store_;
};

TEST_F(FencedStoreTest, LoadsEverythingButTheFence) {
  ASSERT_TRUE(Commit("a", "1").ok());
  StateStore other(kv_, fence_);
  EXPECT_THAT(*other.Load(), ElementsAre(Pair("a", "1")));
}

TEST_F(FencedStoreTest, WritesNothingOnceAnotherLeads) {
  ASSERT_TRUE(Commit("a", "1").ok());
  auto old = std::move(store_);
  Lead();
  Changes changes;
  changes.Put("a", "old leader's");
  EXPECT_CODE(kAborted, old->Commit(changes));
  changes.Clear();
  changes.Put("new-key", "old leader's");
  EXPECT_CODE(kAborted, old->Commit(changes));
  EXPECT_EQ(Value("a"), "1");
  EXPECT_EQ(Value("new-key"), "(none)");
  EXPECT_TRUE(Commit("a", "new leader's").ok());
}

TEST_F(FencedStoreTest, WritesNothingPastItsOwnDeadline) {
  holds_ = false;
  int before = kv_.txns;
  EXPECT_CODE(kUnavailable, Commit("a", "1"));
  EXPECT_CODE(kUnavailable, store_->CheckFence());
  EXPECT_EQ(kv_.txns, before);  // nothing was even sent
}

TEST_F(FencedStoreTest, AWriteWhoseAnswerIsLostCounts) {
  ASSERT_TRUE(Commit("a", "1").ok());
  kv_.answers_lost = 1;
  EXPECT_TRUE(Commit("a", "2").ok());
  EXPECT_EQ(Value("a"), "2");
  EXPECT_TRUE(Commit("a", "3").ok());  // its revision was learnt too
  EXPECT_EQ(Value("a"), "3");
}

TEST_F(FencedStoreTest, AWriteThatWasLostIsSentAgain) {
  kv_.txns_lost = 2;
  EXPECT_TRUE(Commit("a", "1").ok());
  EXPECT_EQ(Value("a"), "1");
  EXPECT_TRUE(Commit("a", "2").ok());
}

TEST_F(FencedStoreTest, ADeleteWhoseAnswerIsLostCounts) {
  ASSERT_TRUE(Commit("a", "1").ok());
  kv_.answers_lost = 1;
  Changes changes;
  changes.Delete("a");
  EXPECT_TRUE(store_->Commit(changes).ok());
  EXPECT_EQ(Value("a"), "(none)");
  EXPECT_TRUE(Commit("a", "again").ok());
}

TEST_F(FencedStoreTest, ManyKeysWhoseAnswerIsLostKeepTheirRevisions) {
  Changes changes;
  for (int i = 0; i < 20; ++i) changes.Put(absl::StrCat("k", i), "1");
  kv_.answers_lost = 1;
  ASSERT_TRUE(store_->Commit(changes).ok());
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Commit(absl::StrCat("k", i), "2").ok());
  }
}

TEST_F(FencedStoreTest, AnUnknownOutcomeEndsWithTheLead) {
  kv_.txns_lost = 1'000'000;
  int asked = 0;
  fence_.holds = [&] { return ++asked <= 4; };
  StateStore store(kv_, fence_);
  Changes changes;
  changes.Put("a", "1");
  EXPECT_CODE(kUnavailable, store.Commit(changes));
  EXPECT_EQ(asked, 5);
  EXPECT_EQ(Value("a"), "(none)");
}

TEST_F(FencedStoreTest, SplitsSoThatTheFenceHasRoom) {
  Changes changes;
  for (size_t i = 0; i < kKvTxnOperationsMax; ++i) {
    changes.Put(absl::StrCat("k", i), "v");
  }
  int before = kv_.txns;
  ASSERT_TRUE(store_->Commit(changes).ok());
  EXPECT_EQ(kv_.txns, before + 2);
}

TEST_F(FencedStoreTest, AKeyChangedByHandIsNotWrittenOver) {
  ASSERT_TRUE(Commit("a", "1").ok());
  Put("a", "by hand");
  EXPECT_CODE(kAborted, Commit("a", "2"));
  EXPECT_EQ(Value("a"), "by hand");
}

// ---- Core over a store that was touched -------------------------------------

class TouchedStoreTest : public FencedStoreTest {
 protected:
  // One term: a cluster with a server, a table and a session.
  TouchedStoreTest() {
    EXPECT_TRUE(Open().ok());
    v1::RegisterServerRequest server;
    server.set_incarnation(11);
    server.set_address("127.0.0.1:7701");
    v1::RegisterServerReply registered;
    core_->RegisterServer(server, &registered, now_, [](const auto&) {});
    v1::OpenSessionReply session;
    core_->OpenSession({}, &session, now_, [](const auto&) {});
    EXPECT_TRUE(core_->Commit(now_).ok());
    EXPECT_TRUE(core_->Commit(now_).ok());  // notes that shards are placed
    id_ = core_->cluster_id();
    core_.reset();
    Lead();
  }
  // A new term over what the store holds.
  absl::Status Open(uint64_t cluster_id = 0) {
    CoreOptions options;
    options.rule_check = CheckTestRule;
    options.fence = fence_;
    options.cluster_id = cluster_id;
    published_ = nullptr;
    auto core = Core::Open(options, kv_, liveness_, now_, [this](auto state) {
      published_ = std::move(state);
    });
    if (!core.ok()) return core.status();
    core_ = std::move(*core);
    return absl::OkStatus();
  }

  Liveness liveness_;
  absl::Duration now_ = absl::Seconds(10);
  std::unique_ptr<Core> core_;
  std::shared_ptr<const v1::ClusterState> published_;
  uint64_t id_ = 0;
};

TEST_F(TouchedStoreTest, AnUntouchedStoreOpens) {
  EXPECT_TRUE(Open(id_).ok());
  EXPECT_EQ(published_->shards(3).epoch(), 1u);
}

TEST_F(TouchedStoreTest, NothingIsMadeUpForAMissingEntry) {
  for (const char* key : {"cluster", "shards/3", "servers/1", "sessions/next",
                          "next/table", "next/job"}) {
    const std::string value = Value(key);
    ASSERT_NE(value, "(none)") << key;
    Put(key, "", /*remove=*/true);
    EXPECT_CODE(kDataLoss, Open()) << key;
    EXPECT_EQ(published_, nullptr) << key;
    EXPECT_EQ(Value(key), "(none)") << key;
    Put(key, value);
    EXPECT_TRUE(Open(id_).ok()) << key;
  }
}

TEST_F(TouchedStoreTest, WhatCannotBeReadIsRefused) {
  for (const char* key :
       {"cluster", "shards/3", "servers/1", "sessions/next"}) {
    const std::string value = Value(key);
    Put(key, "\xff\xff rubbish");
    EXPECT_CODE(kDataLoss, Open()) << key;
    EXPECT_EQ(published_, nullptr) << key;
    Put(key, value);
  }
  Put("what/is/this", "x");
  EXPECT_CODE(kDataLoss, Open());
}

TEST_F(TouchedStoreTest, AnEmptiedStoreIsNotANewCluster) {
  const KvRange range = *kv_.Range("");
  for (const KvEntry& entry : range.entries) {
    if (entry.key != "leader") Put(entry.key, "", /*remove=*/true);
  }
  EXPECT_CODE(kDataLoss, Open(id_));
  EXPECT_EQ(published_, nullptr);
}

TEST_F(TouchedStoreTest, AnotherClustersStoreIsRefused) {
  EXPECT_CODE(kDataLoss, Open(id_ + 1));
  EXPECT_EQ(published_, nullptr);
}

TEST_F(TouchedStoreTest, AStepPastTheDeadlineIsNotShown) {
  ASSERT_TRUE(Open(id_).ok());
  published_ = nullptr;
  holds_ = false;
  v1::OpenSessionReply reply;
  absl::Status answer;
  core_->OpenSession({}, &reply, now_,
                     [&](const absl::Status& status) { answer = status; });
  EXPECT_CODE(kUnavailable, core_->Commit(now_));
  EXPECT_CODE(kUnavailable, answer);
  v1::ListTablesReply tables;
  core_->ListTables({}, &tables, now_,
                    [&](const absl::Status& status) { answer = status; });
  EXPECT_CODE(kUnavailable, core_->Commit(now_));
  EXPECT_CODE(kUnavailable, answer);  // not even from memory
  EXPECT_EQ(published_, nullptr);
}

}  // namespace
}  // namespace paramo
