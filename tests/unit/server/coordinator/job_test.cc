#include "server/coordinator/job.h"

#include "common/base/limits.h"
#include "gmock/gmock.h"
#include "server/coordinator/job_spec.h"
#include "tests/unit/server/coordinator/job_test_util.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class JobTest : public testing::Test {
 protected:
  explicit JobTest(v1::Sync::Kind sync = v1::Sync::ASYNC) {
    v1::JobSpec spec = TestJobSpec();
    spec.mutable_sync()->set_kind(sync);
    EXPECT_TRUE(NormaliseJobSpec(&spec).ok());
    job_ = std::make_unique<Job>(1, spec, changes_);
  }

  v1::JoinJobReply Join() {
    v1::JoinJobReply reply;
    v1::JoinJobRequest request;
    request.set_host("host");
    absl::Status status = job_->Join(request, sessions_, now_, &reply);
    EXPECT_TRUE(status.ok()) << status;
    return reply;
  }
  absl::Status TryJoin() {
    v1::JoinJobReply reply;
    return job_->Join({}, sessions_, now_, &reply);
  }
  absl::Status Leave(const v1::JoinJobReply& member,
                     const std::string& error = "") {
    auto request = MemberRequest<v1::LeaveJobRequest>(member);
    request.set_error(error);
    return job_->Leave(request, now_);
  }
  absl::Status Beat(const v1::JoinJobReply& member, uint64_t clock = 0) {
    auto request = MemberRequest<v1::WorkerHeartbeatRequest>(member);
    request.mutable_progress()->set_clock(clock);
    beat_.Clear();
    return job_->Heartbeat(request, now_, &beat_);
  }
  v1::LeaseDataReply Lease(const v1::LeaseDataRequest& request) {
    v1::LeaseDataReply reply;
    absl::Status status = job_->LeaseData(request, now_, &reply);
    EXPECT_TRUE(status.ok()) << status;
    return reply;
  }
  // Reads everything there is for `member`.
  void ReadAll(const v1::JoinJobReply& member) {
    v1::LeaseDataReply held = Lease(LeaseRequest(member, 2));
    while (!held.leases().empty()) {
      held = Lease(LeaseRequest(member, 2, held, /*finished=*/true));
    }
  }
  void Pass(absl::Duration time) {
    now_ += time;
    job_->Tick(now_);
  }
  v1::JobReport Report() {
    v1::JobReport report;
    job_->FillReport(now_, &report);
    return report;
  }
  v1::JobPhase phase() { return Report().state().phase(); }

  Changes changes_;
  IdCounter sessions_{"sessions/next", 16, changes_};
  std::unique_ptr<Job> job_;
  absl::Duration now_ = absl::Seconds(100);
  v1::WorkerHeartbeatReply beat_;
};

class BspJobTest : public JobTest {
 protected:
  BspJobTest() : JobTest(v1::Sync::BSP) {}
};

// ---- Joining ----------------------------------------------------------------

TEST_F(JobTest, RunsWhenAllItsWorkersHaveJoined) {
  v1::JoinJobReply a = Join();
  EXPECT_EQ(a.worker(), 0u);
  EXPECT_EQ(a.first_clock(), 0u);
  EXPECT_EQ(phase(), v1::JOB_PHASE_WAITING);
  EXPECT_EQ(Lease(LeaseRequest(a, 2)).leases_size(), 0);  // not yet
  v1::JoinJobReply b = Join();
  EXPECT_EQ(b.worker(), 1u);
  EXPECT_NE(b.session(), a.session());
  EXPECT_EQ(phase(), v1::JOB_PHASE_RUNNING);
  EXPECT_EQ(Lease(LeaseRequest(a, 2)).leases_size(), 2);
}

TEST_F(JobTest, RefusesMoreWorkersThanItHasRanks) {
  Join();
  Join();
  EXPECT_CODE(kFailedPrecondition, TryJoin());
}

TEST_F(JobTest, ADeadRankIsTakenOverPastEveryReportedClock) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  ASSERT_TRUE(Beat(a, 17).ok());
  ASSERT_TRUE(Beat(b, 15).ok());
  Pass(absl::Milliseconds(900));
  ASSERT_TRUE(Beat(b, 20).ok());
  Pass(absl::Milliseconds(101));  // a: 1001 ms of silence, b: 101
  v1::JoinJobReply c = Join();
  EXPECT_EQ(c.worker(), a.worker());
  EXPECT_NE(c.session(), a.session());
  EXPECT_EQ(c.first_clock(), 22u);
  EXPECT_CODE(kNotFound, Beat(a));  // its rank is somebody else's
  EXPECT_TRUE(Beat(c).ok());
}

TEST_F(JobTest, NobodyJoinsAJobThatIsOver) {
  Join();
  ASSERT_TRUE(job_->Stop(now_).ok());
  EXPECT_CODE(kFailedPrecondition, TryJoin());
}

TEST_F(JobTest, RefusesAHostThatIsNotText) {
  v1::JoinJobRequest request;
  request.set_host("a\nb");
  v1::JoinJobReply reply;
  EXPECT_CODE(kInvalidArgument, job_->Join(request, sessions_, now_, &reply));
  EXPECT_TRUE(changes_.empty());
}

// ---- Life and death ---------------------------------------------------------

TEST_F(JobTest, SilenceLongerThanTheLeaseIsDeath) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  ASSERT_TRUE(Beat(b).ok());
  EXPECT_THAT(beat_.live_workers(), ElementsAre(0, 1));
  Pass(absl::Milliseconds(1000));
  EXPECT_EQ(Report().deaths(), 0u);
  ASSERT_TRUE(Beat(b).ok());
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(Report().deaths(), 1u);
  EXPECT_EQ(Report().workers(0).left_because(), "dead");
  EXPECT_TRUE(Report().state().members(0).left());
  ASSERT_TRUE(Beat(b).ok());
  EXPECT_THAT(beat_.live_workers(), ElementsAre(1));
  EXPECT_CODE(kNotFound, Beat(a));
}

TEST_F(JobTest, AskingForDataIsASignOfLife) {
  v1::JoinJobReply a = Join();
  Join();
  Pass(absl::Milliseconds(900));
  Lease(LeaseRequest(a, 2));
  Pass(absl::Milliseconds(900));
  EXPECT_TRUE(Beat(a).ok());
}

TEST_F(JobTest, TheDataOfTheDeadGoesToTheLiving) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  v1::LeaseDataReply held = Lease(LeaseRequest(a, 2));
  held.mutable_leases(0)->set_batches_done(1);
  Lease(LeaseRequest(a, 2, held));
  Pass(absl::Milliseconds(600));
  ASSERT_TRUE(Beat(b).ok());
  Pass(absl::Milliseconds(600));
  v1::LeaseDataReply taken = Lease(LeaseRequest(b, 4));
  ASSERT_EQ(taken.leases_size(), 4);
  EXPECT_EQ(taken.leases(0).data_shard(), 0u);
  EXPECT_EQ(taken.leases(0).batches_done(), 1u);
  EXPECT_EQ(Report().batches_repeated(), 3u);  // 1 of shard 0, 2 of shard 1
}

// ---- Which round is the first without or with somebody
// ------------------------

TEST_F(BspJobTest, TheRoundWithoutTheDeadIsDecidedWhenServersWereAsked) {
  Join();
  v1::JoinJobReply b = Join();
  job_->NoteOpenRound(17);
  Pass(absl::Milliseconds(900));
  ASSERT_TRUE(Beat(b).ok());
  Pass(absl::Milliseconds(101));
  EXPECT_TRUE(Report().state().members(0).left());
  EXPECT_EQ(Report().state().members(0).left_clock(), kUndecidedRound);
  EXPECT_EQ(job_->asked_version(), 0u);
  job_->Ask(5);
  job_->Ask(6);  // a later state asks nothing new
  EXPECT_EQ(job_->asked_version(), 5u);
  job_->NoteOpenRound(18);  // one shard was further than anybody knew
  job_->Decide();
  EXPECT_EQ(Report().state().members(0).left_clock(), 18u);
  EXPECT_FALSE(job_->undecided());
  job_->NoteOpenRound(19);
  job_->Decide();
  EXPECT_EQ(Report().state().members(0).left_clock(), 18u);  // once
}

TEST_F(BspJobTest, WhoGoesMeanwhileMeansAskingAgain) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  ASSERT_TRUE(Leave(a, "crash").ok());
  job_->Ask(5);
  ASSERT_TRUE(Leave(b, "crash").ok());
  EXPECT_EQ(job_->asked_version(), 0u);
  job_->Ask(6);
  EXPECT_EQ(job_->asked_version(), 6u);
}

TEST_F(BspJobTest, ANewcomerToARunningJobBeginsTwoPastTheOpenRound) {
  v1::JoinJobReply a = Join();
  Join();
  ASSERT_TRUE(Leave(a, "crash").ok());
  v1::JoinJobReply c = Join();
  EXPECT_EQ(job_->FirstClockOf(c.worker(), c.session()), std::nullopt);
  // The one before it is listed as well, before it.
  ASSERT_EQ(Report().state().members_size(), 3);
  EXPECT_EQ(Report().state().members(0).session(), a.session());
  job_->NoteOpenRound(30);
  job_->Decide();
  EXPECT_EQ(job_->FirstClockOf(c.worker(), c.session()), 32u);
  EXPECT_EQ(Report().state().members(0).left_clock(), 30u);
}

TEST_F(BspJobTest, WhoEndsByItselfAsksNobody) {
  v1::JoinJobReply a = Join();
  Join();
  ASSERT_TRUE(Leave(a).ok());
  EXPECT_FALSE(job_->undecided());
  EXPECT_EQ(Report().state().members(0).left_clock(), kNoRound);
}

TEST_F(JobTest, WithoutRoundsThereIsNothingToDecide) {
  v1::JoinJobReply a = Join();
  Join();
  ASSERT_TRUE(Leave(a, "crash").ok());
  Join();
  EXPECT_FALSE(job_->undecided());
}

TEST_F(JobTest, LeavingTwiceIsFineAndAStrangerCannotLeave) {
  v1::JoinJobReply a = Join();
  EXPECT_TRUE(Leave(a).ok());
  EXPECT_TRUE(Leave(a).ok());
  v1::JoinJobReply stranger = a;
  stranger.set_session(999);
  EXPECT_CODE(kNotFound, Leave(stranger));
  EXPECT_EQ(Report().deaths(), 0u);
  EXPECT_EQ(Report().workers(0).left_because(), "done");
}

// ---- Phases -----------------------------------------------------------------

TEST_F(JobTest, IsDoneWhenAllDataIsReadAndEverybodyLeft) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  ReadAll(a);
  EXPECT_TRUE(Lease(LeaseRequest(b, 2)).exhausted());
  EXPECT_EQ(Report().data_shards(), 4u);
  EXPECT_EQ(Report().data_shards_finished(), 4u);
  ASSERT_TRUE(Leave(a).ok());
  EXPECT_EQ(phase(), v1::JOB_PHASE_RUNNING);
  ASSERT_TRUE(Leave(b).ok());
  EXPECT_EQ(phase(), v1::JOB_PHASE_DONE);
}

TEST_F(JobTest, AWorkerWithoutDataWaitsWhileOthersHoldSome) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  v1::LeaseDataReply held = Lease(LeaseRequest(a, 4));
  v1::LeaseDataReply none = Lease(LeaseRequest(b, 2));
  EXPECT_FALSE(none.exhausted());
  EXPECT_GT(none.retry_after_ms(), 0u);
  EXPECT_TRUE(Lease(LeaseRequest(a, 4, held, true)).exhausted());
  EXPECT_TRUE(Lease(LeaseRequest(b, 2)).exhausted());
}

TEST_F(JobTest, FailsTenLeasesAfterTheLastWorkerWithDataLeft) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  ASSERT_TRUE(Leave(a, "out of memory").ok());
  Pass(absl::Milliseconds(1001));  // b is dead
  EXPECT_EQ(phase(), v1::JOB_PHASE_RUNNING);
  Pass(absl::Milliseconds(9'999));
  EXPECT_EQ(phase(), v1::JOB_PHASE_RUNNING);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(phase(), v1::JOB_PHASE_FAILED);
  EXPECT_THAT(Report().error(), HasSubstr("rank 0: out of memory"));
  EXPECT_THAT(Report().error(), HasSubstr("rank 1: dead"));
  EXPECT_CODE(kNotFound, Beat(b));
}

TEST_F(JobTest, ADesertedJobGoesOnWhenSomebodyJoins) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  ASSERT_TRUE(Leave(a, "x").ok());
  ASSERT_TRUE(Leave(b, "y").ok());
  Pass(absl::Milliseconds(9'000));
  v1::JoinJobReply c = Join();
  Pass(absl::Milliseconds(900));
  ASSERT_TRUE(Beat(c).ok());
  Pass(absl::Milliseconds(900));
  EXPECT_EQ(phase(), v1::JOB_PHASE_RUNNING);
  ReadAll(c);
  ASSERT_TRUE(Leave(c).ok());
  EXPECT_EQ(phase(), v1::JOB_PHASE_DONE);
}

TEST_F(JobTest, AStoppedJobTellsItsWorkersAndGivesNoMoreData) {
  v1::JoinJobReply a = Join();
  Join();
  ASSERT_TRUE(job_->Stop(now_).ok());
  EXPECT_TRUE(job_->Stop(now_).ok());
  ASSERT_TRUE(Beat(a).ok());
  EXPECT_EQ(beat_.phase(), v1::JOB_PHASE_STOPPED);
  v1::LeaseDataReply reply = Lease(LeaseRequest(a, 2));
  EXPECT_TRUE(reply.exhausted());
  EXPECT_EQ(reply.leases_size(), 0);
}

TEST_F(JobTest, AFinishedJobCannotBeStopped) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  ReadAll(a);
  ASSERT_TRUE(Leave(a).ok());
  ASSERT_TRUE(Leave(b).ok());
  EXPECT_CODE(kFailedPrecondition, job_->Stop(now_));
}

// ---- Data -------------------------------------------------------------------

TEST_F(BspJobTest, AnUndisturbedRunReadsTheSameEveryTime) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  v1::LeaseDataReply of_b = Lease(LeaseRequest(b, 4));
  v1::LeaseDataReply of_a = Lease(LeaseRequest(a, 4));
  ASSERT_EQ(of_a.leases_size(), 2);
  EXPECT_EQ(of_a.leases(0).data_shard(), 0u);
  EXPECT_EQ(of_a.leases(1).data_shard(), 2u);
  ASSERT_EQ(of_b.leases_size(), 2);
  EXPECT_EQ(of_b.leases(0).data_shard(), 1u);
  EXPECT_EQ(of_b.leases(1).data_shard(), 3u);
}

TEST_F(BspJobTest, TheDataOfADeadRankGoesToOthers) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  Lease(LeaseRequest(b, 2));
  Pass(absl::Milliseconds(600));
  ASSERT_TRUE(Beat(a).ok());
  Pass(absl::Milliseconds(600));
  EXPECT_EQ(Lease(LeaseRequest(a, 4)).leases_size(), 4);
}

TEST_F(JobTest, AtLeastTwoLeasesAreHeldAheadAndZeroIsOnlyAReport) {
  v1::JoinJobReply a = Join();
  Join();
  EXPECT_EQ(Lease(LeaseRequest(a, 0)).leases_size(), 0);
  EXPECT_EQ(Lease(LeaseRequest(a, 1)).leases_size(), 2);
}

TEST_F(JobTest, RefusesTooManyLeasesAndPositions) {
  v1::JoinJobReply a = Join();
  v1::LeaseDataReply reply;
  EXPECT_CODE(
      kInvalidArgument,
      job_->LeaseData(LeaseRequest(a, kDataShardLeasesMax + 1), now_, &reply));
  v1::LeaseDataRequest many = LeaseRequest(a, 1);
  for (uint32_t i = 0; i <= kDataShardLeasesMax; ++i) many.add_positions();
  EXPECT_CODE(kInvalidArgument, job_->LeaseData(many, now_, &reply));
}

// ---- Reports ----------------------------------------------------------------

TEST_F(JobTest, SumsProgressOverAllWorkersTheDeadToo) {
  v1::JoinJobReply a = Join();
  v1::JoinJobReply b = Join();
  auto beat = MemberRequest<v1::WorkerHeartbeatRequest>(a);
  beat.mutable_progress()->set_pushes(5);
  beat.mutable_progress()->set_examples(50);
  ASSERT_TRUE(job_->Heartbeat(beat, now_, &beat_).ok());
  ASSERT_TRUE(Leave(a, "crash").ok());
  v1::JoinJobReply c = Join();
  beat.set_session(c.session());
  beat.mutable_progress()->set_pushes(3);
  ASSERT_TRUE(job_->Heartbeat(beat, now_, &beat_).ok());
  beat.set_worker(b.worker());
  beat.set_session(b.session());
  beat.mutable_progress()->set_pushes(2);
  ASSERT_TRUE(job_->Heartbeat(beat, now_, &beat_).ok());
  EXPECT_EQ(Report().pushes(), 10u);
  EXPECT_EQ(Report().examples(), 150u);
}

TEST_F(JobTest, KeepsTheMetricOfTheLatestEpoch) {
  v1::JoinJobReply a = Join();
  auto beat = MemberRequest<v1::WorkerHeartbeatRequest>(a);
  v1::WorkerProgress* progress = beat.mutable_progress();
  for (double epoch : {1.0, 3.0, 2.0}) {
    progress->set_metric_name("accuracy");
    progress->set_metric(epoch / 10);
    progress->set_metric_epoch(epoch);
    ASSERT_TRUE(job_->Heartbeat(beat, now_, &beat_).ok());
  }
  EXPECT_EQ(Report().metric_name(), "accuracy");
  EXPECT_EQ(Report().metric(), 0.3);
  progress->set_metric_name(std::string(65, 'm'));
  EXPECT_CODE(kInvalidArgument, job_->Heartbeat(beat, now_, &beat_));
}

TEST_F(JobTest, ShowsForHowLongALiveWorkerIsSilent) {
  Join();
  Pass(absl::Milliseconds(250));
  EXPECT_EQ(Report().workers(0).silent_ms(), 250u);
}

}  // namespace
}  // namespace paramo
