#include "server/coordinator/core.h"

#include "common/base/limits.h"
#include "gmock/gmock.h"
#include "tests/unit/server/coordinator/core_test_util.h"

namespace paramo {
namespace {

using testing::HasSubstr;

TEST_F(CoreTest, PublishesANewClusterWithADefaultOfShards) {
  ASSERT_NE(published_, nullptr);
  EXPECT_NE(published_->cluster_id(), 0u);
  EXPECT_GT(published_->version(), 0u);
  EXPECT_EQ(published_->shards_size(), 64);
}

TEST_F(CoreTest, VersionsGrowWithEveryChangeAndOnlyThen) {
  uint64_t version = published_->version();
  AddServer(11);
  EXPECT_GT(published_->version(), version);
  version = published_->version();
  v1::ListTablesReply tables;
  ASSERT_TRUE(Do(&Core::ListTables, {}, &tables).ok());
  v1::OpenSessionReply session;
  ASSERT_TRUE(Do(&Core::OpenSession, {}, &session).ok());
  EXPECT_EQ(published_->version(), version);
}

TEST_F(CoreTest, ATableIsAnsweredOnceEveryLiveServerHasIt) {
  uint32_t a = AddServer(11), b = AddServer(22);
  Call call;
  v1::CreateTableReply reply;
  core_->CreateTable(Table(), &reply, now_, call.Done());
  Commit();
  EXPECT_TRUE(call.waits());
  EXPECT_TRUE(core_->has_applied_waits());
  EXPECT_EQ(published_->tables_size(), 1);
  Apply(a, 11);
  EXPECT_TRUE(call.waits());
  Apply(b, 22);
  ASSERT_FALSE(call.waits());
  EXPECT_TRUE(call.status->ok());
  EXPECT_EQ(reply.state_version(), published_->version());
  EXPECT_FALSE(core_->has_applied_waits());
}

TEST_F(CoreTest, AServerThatStaysBehindIsNamedAfterTwoSeconds) {
  uint32_t a = AddServer(11);
  Call call;
  v1::CreateTableReply reply;
  core_->CreateTable(Table(), &reply, now_, call.Done());
  Commit();
  for (int i = 0; i < 19; ++i) {
    ASSERT_TRUE(liveness_->Hear(a, 11, 0, now_ + absl::Milliseconds(100)).ok());
    Pass(absl::Milliseconds(100));
  }
  EXPECT_TRUE(call.waits());
  ASSERT_TRUE(liveness_->Hear(a, 11, 0, now_ + absl::Milliseconds(100)).ok());
  Pass(absl::Milliseconds(100));
  ASSERT_FALSE(call.waits());
  EXPECT_CODE(kUnavailable, *call.status);
  EXPECT_THAT(std::string(call.status->message()), HasSubstr("server 1 "));
}

TEST_F(CoreTest, NobodyWaitsForAServerThatIsDown) {
  AddServer(11);
  Call call;
  v1::CreateTableReply reply;
  core_->CreateTable(Table(), &reply, now_, call.Done());
  Commit();
  EXPECT_TRUE(call.waits());
  Pass(kSuspicionTime + absl::Milliseconds(1));
  ASSERT_FALSE(call.waits());
  EXPECT_TRUE(call.status->ok());
  EXPECT_EQ(published_->servers(0).status(), v1::SERVER_STATUS_DOWN);
}

TEST_F(CoreTest, AServerThatSaysGoodbyeIsDownAtOnce) {
  uint32_t id = AddServer(11);
  core_->ServerGone(id, 11, "goodbye", absl::ZeroDuration());
  Commit();
  EXPECT_EQ(published_->servers(0).status(), v1::SERVER_STATUS_DOWN);
  EXPECT_CODE(kNotFound, liveness_->Hear(id, 11, 0, now_));
}

TEST_F(CoreTest, DrainedIsStored) {
  AddServer(11);
  const uint32_t drained = AddServer(22);
  v1::DrainServerRequest request;
  request.set_server(drained);
  v1::DrainServerReply reply;
  ASSERT_TRUE(Do(&Core::DrainServer, request, &reply).ok());
  kv_.Reopen();
  ASSERT_TRUE(Open().ok());
  EXPECT_FALSE(published_->servers(0).drained());
  EXPECT_TRUE(published_->servers(1).drained());
  request.set_undo(true);
  ASSERT_TRUE(Do(&Core::DrainServer, request, &reply).ok());
  EXPECT_FALSE(published_->servers(1).drained());
}

TEST_F(CoreTest, EverythingComesBackAfterARestart) {
  AddServer(11);
  Apply(1, 11);
  v1::CreateTableReply table;
  Call call;
  core_->CreateTable(Table(), &table, now_, call.Done());
  Commit();
  Apply(1, 11);
  v1::OpenSessionReply session;
  ASSERT_TRUE(Do(&Core::OpenSession, {}, &session).ok());
  auto before = published_;

  kv_.Reopen();
  ASSERT_TRUE(Open().ok());
  v1::ClusterState after = *published_;
  EXPECT_GE(after.version(), before->version());
  after.set_version(before->version());
  EXPECT_EQ(after.SerializeAsString(), before->SerializeAsString());
  v1::OpenSessionReply next;
  ASSERT_TRUE(Do(&Core::OpenSession, {}, &next).ok());
  EXPECT_GT(next.session(), session.session());
}

TEST_F(CoreTest, AfterARestartServersHaveTwoSuspicionPeriods) {
  AddServer(11);
  ASSERT_TRUE(Open().ok());
  Pass(2 * kSuspicionTime);
  EXPECT_EQ(published_->servers(0).status(), v1::SERVER_STATUS_UP);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(published_->servers(0).status(), v1::SERVER_STATUS_DOWN);
}

TEST_F(CoreTest, TheNumberOfShardsIsForEver) {
  EXPECT_CODE(kFailedPrecondition, Open(/*shards=*/128));
  EXPECT_TRUE(Open(/*shards=*/64).ok());
}

TEST(CoreShards, MustBeAPowerOfTwo) {
  FailingKv kv;
  Liveness liveness;
  CoreOptions options;
  for (uint32_t shards : {3u, 2 * kShardsMax}) {
    options.shards = shards;
    EXPECT_CODE(
        kInvalidArgument,
        Core::Open(options, kv, liveness, absl::ZeroDuration(), [](auto) {}));
  }
}

TEST_F(CoreTest, NothingIsAnsweredOrShownThatIsNotStored) {
  auto before = published_;
  kv_.fail = true;
  Call call;
  v1::CreateTableReply reply;
  core_->CreateTable(Table(), &reply, now_, call.Done());
  EXPECT_FALSE(core_->Commit(now_).ok());
  ASSERT_FALSE(call.waits());
  EXPECT_CODE(kUnavailable, *call.status);
  EXPECT_EQ(published_, before);
  // What is stored is unknown now: nothing works any more, not even reading.
  kv_.fail = false;
  Call list;
  v1::ListTablesReply tables;
  core_->ListTables({}, &tables, now_, list.Done());
  EXPECT_FALSE(core_->Commit(now_).ok());
  EXPECT_CODE(kUnavailable, *list.status);
  EXPECT_EQ(published_, before);
}

TEST_F(CoreTest, ClosingAnswersWhoStillWaits) {
  AddServer(11);
  Call call;
  v1::CreateTableReply reply;
  core_->CreateTable(Table(), &reply, now_, call.Done());
  Commit();
  core_->Close(now_);
  ASSERT_FALSE(call.waits());
  EXPECT_CODE(kUnavailable, *call.status);
}

TEST_F(CoreTest, DamagedEntriesAreDataLoss) {
  for (const char* key : {"servers/1", "tables/x", "jobs/1/state", "jobs/x",
                          "next/table", "from-the-future"}) {
    const auto before = kv_.Range(key);
    ASSERT_TRUE(before.ok());
    KvTxn txn;
    txn.puts.push_back({key, "\xff\xff", 0});
    ASSERT_TRUE(kv_.Txn(txn).ok());
    EXPECT_CODE(kDataLoss, Open()) << key;
    txn = KvTxn();
    if (before->entries.empty()) {
      txn.deletes.push_back(key);
    } else {
      txn.puts.push_back({key, before->entries[0].value, 0});
    }
    ASSERT_TRUE(kv_.Txn(txn).ok());
  }
  const absl::Status opened = Open();
  EXPECT_TRUE(opened.ok()) << opened;
}

}  // namespace
}  // namespace paramo
