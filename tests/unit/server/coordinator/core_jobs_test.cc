// Jobs through the Core: joining waits for servers, and everything survives a
// restart.
#include "gmock/gmock.h"
#include "tests/unit/server/coordinator/core_test_util.h"
#include "tests/unit/server/coordinator/job_test_util.h"

namespace paramo {
namespace {

using testing::HasSubstr;

class CoreJobsTest : public CoreTest {
 protected:
  void CreateJob(v1::Sync::Kind sync = v1::Sync::ASYNC) {
    v1::CreateJobRequest request;
    *request.mutable_spec() = TestJobSpec();
    request.mutable_spec()->mutable_sync()->set_kind(sync);
    v1::CreateJobReply reply;
    ASSERT_TRUE(Do(&Core::CreateJob, request, &reply).ok());
  }
  v1::JoinJobReply Join() {
    v1::JoinJobRequest request;
    request.set_job("fashion");
    v1::JoinJobReply reply;
    EXPECT_TRUE(Do(&Core::JoinJob, request, &reply).ok());
    return reply;
  }
  absl::Status Beat(const v1::JoinJobReply& member) {
    v1::WorkerHeartbeatReply reply;
    return Do(&Core::WorkerHeartbeat,
              MemberRequest<v1::WorkerHeartbeatRequest>(member), &reply);
  }
  v1::JobReport Report() {
    v1::DescribeJobRequest request;
    request.set_name("fashion");
    v1::JobReport report;
    EXPECT_TRUE(Do(&Core::DescribeJob, request, &report).ok());
    return report;
  }
};

TEST_F(CoreJobsTest, AMemberIsAnsweredOnceEveryLiveServerKnowsIt) {
  CreateJob();
  AddServer(11);
  v1::JoinJobRequest request;
  request.set_job("fashion");
  v1::JoinJobReply reply;
  Call call;
  core_->JoinJob(request, &reply, now_, call.Done());
  Commit();
  EXPECT_TRUE(call.waits());
  ASSERT_EQ(published_->jobs_size(), 1);
  EXPECT_EQ(published_->jobs(0).members(0).session(), reply.session());
  Apply(1, 11);
  ASSERT_FALSE(call.waits());
  EXPECT_TRUE(call.status->ok());
  EXPECT_EQ(reply.state_version(), published_->version());
}

TEST_F(CoreJobsTest, AJoinThatServersDidNotTakeIsTakenBack) {
  CreateJob();
  AddServer(11);
  v1::JoinJobRequest request;
  request.set_job("fashion");
  v1::JoinJobReply reply;
  Call call;
  core_->JoinJob(request, &reply, now_, call.Done());
  Commit();
  now_ += absl::Seconds(2);
  ASSERT_TRUE(liveness_->Hear(1, 11, 0, now_).ok());
  // The member's own lease has run out meanwhile; a heartbeat keeps it.
  v1::WorkerHeartbeatReply beat;
  ASSERT_TRUE(Do(&Core::WorkerHeartbeat,
                 MemberRequest<v1::WorkerHeartbeatRequest>(reply), &beat)
                  .ok());
  core_->Tick(now_);
  Commit();
  ASSERT_FALSE(call.waits());
  EXPECT_CODE(kUnavailable, *call.status);
  EXPECT_TRUE(published_->jobs(0).members(0).left());
}

// The round without the dead is named once every server stands still, also a
// server that was away; a coordinator that restarts asks again.
TEST_F(CoreJobsTest, TheRoundWithoutTheDeadWaitsForEveryServer) {
  AddServer(11);
  CreateJob(v1::Sync::BSP);
  Apply(1, 11);
  v1::JoinJobRequest request;
  request.set_job("fashion");
  v1::JoinJobReply a, b;
  Call joins[2];
  core_->JoinJob(request, &a, now_, joins[0].Done());
  core_->JoinJob(request, &b, now_, joins[1].Done());
  Commit();
  Apply(1, 11);
  ASSERT_FALSE(joins[1].waits());

  auto leave = MemberRequest<v1::LeaveJobRequest>(a);
  leave.set_error("crash");
  v1::LeaveJobReply left;
  ASSERT_TRUE(Do(&Core::LeaveJob, leave, &left).ok());
  const auto without = [&] {
    return published_->jobs(0).members(0).left_clock();
  };
  EXPECT_EQ(without(), kUndecidedRound);
  EXPECT_TRUE(core_->has_applied_waits());
  Pass(absl::Milliseconds(20));
  EXPECT_EQ(without(), kUndecidedRound);

  core_->ServerGone(1, 11, "test", absl::ZeroDuration());
  Commit();
  Pass(absl::Milliseconds(20));
  EXPECT_EQ(without(), kUndecidedRound);  // who knows what it had closed
  kv_.Reopen();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(without(), kUndecidedRound);
  v1::RegisterServerRequest again;
  again.set_incarnation(12);
  again.set_server_id(1);
  again.set_cluster_id(published_->cluster_id());
  again.set_address("127.0.0.1:7701");
  v1::RegisterServerReply registered;
  ASSERT_TRUE(Do(&Core::RegisterServer, again, &registered).ok());
  Pass(absl::Milliseconds(20));
  EXPECT_EQ(without(), kUndecidedRound);
  ASSERT_TRUE(
      liveness_->Hear(1, 12, published_->version(), now_, {{a.job(), 23}})
          .ok());
  core_->Tick(now_);
  Commit();
  EXPECT_EQ(without(), 23u);
}

TEST_F(CoreJobsTest, ANewcomerIsAnsweredWhenServersKnowItsFirstRound) {
  AddServer(11);
  CreateJob(v1::Sync::BSP);
  v1::JoinJobRequest request;
  request.set_job("fashion");
  v1::JoinJobReply a, b, c;
  Call joins[3];
  core_->JoinJob(request, &a, now_, joins[0].Done());
  core_->JoinJob(request, &b, now_, joins[1].Done());
  Commit();
  Apply(1, 11);
  auto leave = MemberRequest<v1::LeaveJobRequest>(a);
  leave.set_error("crash");
  v1::LeaveJobReply left;
  ASSERT_TRUE(Do(&Core::LeaveJob, leave, &left).ok());
  core_->JoinJob(request, &c, now_, joins[2].Done());
  Commit();
  ASSERT_TRUE(
      liveness_->Hear(1, 11, published_->version(), now_, {{a.job(), 8}}).ok());
  core_->Tick(now_);
  Commit();
  EXPECT_TRUE(joins[2].waits());  // decided, and not applied yet
  Apply(1, 11);
  ASSERT_FALSE(joins[2].waits());
  EXPECT_TRUE(joins[2].status->ok());
  EXPECT_EQ(c.first_clock(), 10u);
  EXPECT_EQ(c.state_version(), published_->version());
}

TEST_F(CoreJobsTest, ABarrierOpensForAllAtOnce) {
  CreateJob();
  v1::JoinJobReply a = Join(), b = Join();
  Call at_a, at_b;
  auto request = MemberRequest<v1::BarrierRequest>(a);
  request.set_name("epoch-1");
  core_->Barrier(request, absl::Seconds(5), now_, at_a.Done());
  Commit();
  EXPECT_TRUE(at_a.waits());
  request = MemberRequest<v1::BarrierRequest>(b);
  request.set_name("epoch-1");
  core_->Barrier(request, absl::Seconds(5), now_, at_b.Done());
  Commit();
  ASSERT_FALSE(at_a.waits());
  ASSERT_FALSE(at_b.waits());
  EXPECT_TRUE(at_a.status->ok());
  EXPECT_TRUE(at_b.status->ok());
}

TEST_F(CoreJobsTest, ABarrierNamesWhoIsMissingAtItsDeadline) {
  CreateJob();
  v1::JoinJobReply a = Join(), b = Join();
  Call call;
  auto request = MemberRequest<v1::BarrierRequest>(a);
  request.set_name("epoch-1");
  core_->Barrier(request, absl::Milliseconds(500), now_, call.Done());
  Commit();
  Pass(absl::Milliseconds(499));
  EXPECT_TRUE(call.waits());
  Pass(absl::Milliseconds(1));
  ASSERT_FALSE(call.waits());
  EXPECT_CODE(kDeadlineExceeded, *call.status);
  EXPECT_THAT(std::string(call.status->message()), HasSubstr("rank 1"));
  request.set_name("Not A Name");
  Call bad;
  core_->Barrier(request, absl::Seconds(1), now_, bad.Done());
  Commit();
  EXPECT_CODE(kInvalidArgument, *bad.status);
}

TEST_F(CoreJobsTest, AJobGoesOnAfterARestart) {
  CreateJob();
  v1::JoinJobReply a = Join(), b = Join();
  v1::LeaseDataReply of_a, of_b;
  ASSERT_TRUE(Do(&Core::LeaseData, LeaseRequest(a, 2), &of_a).ok());
  ASSERT_TRUE(Do(&Core::LeaseData, LeaseRequest(b, 2), &of_b).ok());
  of_a.mutable_leases(0)->set_batches_done(1);
  v1::LeaseDataReply none;
  ASSERT_TRUE(Do(&Core::LeaseData, LeaseRequest(a, 2, of_a), &none).ok());
  Call at_a, at_b;
  auto barrier = MemberRequest<v1::BarrierRequest>(a);
  barrier.set_name("start");
  core_->Barrier(barrier, absl::Seconds(5), now_, at_a.Done());
  barrier = MemberRequest<v1::BarrierRequest>(b);
  barrier.set_name("start");
  core_->Barrier(barrier, absl::Seconds(5), now_, at_b.Done());
  Commit();

  now_ += absl::Hours(1);
  kv_.Reopen();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Report().state().phase(), v1::JOB_PHASE_RUNNING);
  // A whole lease of grace, whatever time the restart took.
  Pass(absl::Milliseconds(1000));
  ASSERT_TRUE(Beat(a).ok());
  // A barrier that was passed is still open to whoever lost the answer.
  Call again;
  barrier = MemberRequest<v1::BarrierRequest>(a);
  barrier.set_name("start");
  core_->Barrier(barrier, absl::Seconds(5), now_, again.Done());
  Commit();
  EXPECT_FALSE(again.waits());
  // b says nothing and dies; its data goes to a, and a's own is remembered.
  Pass(absl::Milliseconds(1));
  EXPECT_CODE(kNotFound, Beat(b));
  v1::LeaseDataReply taken;
  ASSERT_TRUE(Do(&Core::LeaseData, LeaseRequest(a, 4, of_a), &taken).ok());
  ASSERT_EQ(taken.leases_size(), 2);
  EXPECT_EQ(taken.leases(0).data_shard(), of_b.leases(0).data_shard());
  EXPECT_EQ(Report().deaths(), 1u);
}

TEST_F(CoreJobsTest, UnknownJobsAreNotFound) {
  v1::JoinJobRequest join;
  join.set_job("nope");
  v1::JoinJobReply joined;
  EXPECT_CODE(kNotFound, Do(&Core::JoinJob, join, &joined));
  v1::JoinJobReply stranger;
  stranger.set_job(77);
  EXPECT_CODE(kNotFound, Beat(stranger));
  v1::LeaseDataReply lease;
  EXPECT_CODE(kNotFound,
              Do(&Core::LeaseData, LeaseRequest(stranger, 2), &lease));
  v1::LeaveJobReply left;
  EXPECT_CODE(
      kNotFound,
      Do(&Core::LeaveJob, MemberRequest<v1::LeaveJobRequest>(stranger), &left));
  v1::StopJobRequest stop;
  stop.set_name("nope");
  v1::StopJobReply stopped;
  EXPECT_CODE(kNotFound, Do(&Core::StopJob, stop, &stopped));
}

}  // namespace
}  // namespace paramo
