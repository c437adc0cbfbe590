#include "server/coordinator/jobs.h"

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "gmock/gmock.h"
#include "paramo/v1/cluster.pb.h"
#include "server/coordinator/job_spec.h"
#include "tests/unit/server/coordinator/job_test_util.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

using testing::HasSubstr;

class JobsTest : public testing::Test {
 protected:
  absl::Status Create(const v1::JobSpec& spec) {
    reply_.Clear();
    return jobs_.Create(spec, &reply_);
  }
  void ExpectRefused(void (*spoil)(v1::JobSpec&), const std::string& field) {
    v1::JobSpec spec = TestJobSpec();
    spoil(spec);
    absl::Status status = Create(spec);
    EXPECT_CODE(kInvalidArgument, status);
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
    EXPECT_TRUE(changes_.empty());
  }

  Changes changes_;
  Jobs jobs_{changes_};
  v1::CreateJobReply reply_;
  absl::Duration now_ = absl::ZeroDuration();
};

TEST_F(JobsTest, CreatesAndOpensAnEqualOne) {
  ASSERT_TRUE(Create(TestJobSpec()).ok());
  EXPECT_TRUE(reply_.created());
  uint32_t id = reply_.job();
  ASSERT_TRUE(Create(TestJobSpec()).ok());
  EXPECT_FALSE(reply_.created());
  EXPECT_EQ(reply_.job(), id);
}

TEST_F(JobsTest, RefusesAnotherSpecShowingTheDifference) {
  ASSERT_TRUE(Create(TestJobSpec()).ok());
  v1::JobSpec other = TestJobSpec();
  other.set_epochs(5);
  other.mutable_sync()->set_kind(v1::Sync::BSP);
  absl::Status status = Create(other);
  EXPECT_CODE(kAlreadyExists, status);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("sync: ASYNC there, BSP asked; epochs: 1 there, 5"));
}

TEST_F(JobsTest, RefusesToOpenOneThatIsOver) {
  ASSERT_TRUE(Create(TestJobSpec()).ok());
  ASSERT_TRUE((*jobs_.Find("fashion"))->Stop(now_).ok());
  EXPECT_CODE(kAlreadyExists, Create(TestJobSpec()));
}

TEST_F(JobsTest, RefusesBadSpecs) {
  ExpectRefused([](v1::JobSpec& s) { s.set_name("No Way"); }, "job name");
  ExpectRefused([](v1::JobSpec& s) { s.set_workers(0); }, "workers");
  ExpectRefused([](v1::JobSpec& s) { s.set_workers(kWorkersPerJobMax + 1); },
                "workers");
  ExpectRefused([](v1::JobSpec& s) { s.set_epochs(0); }, "epochs");
  ExpectRefused([](v1::JobSpec& s) { s.set_examples(0); }, "examples");
  ExpectRefused([](v1::JobSpec& s) { s.set_batch(0); }, "batch");
  ExpectRefused([](v1::JobSpec& s) { s.set_batches_per_data_shard(0); },
                "batches_per_data_shard");
  ExpectRefused([](v1::JobSpec& s) { s.set_lease_ms(1); }, "lease_ms");
  ExpectRefused(
      [](v1::JobSpec& s) {
        s.mutable_sync()->set_kind(static_cast<v1::Sync::Kind>(5));
      },
      "sync.kind");
  ExpectRefused(
      [](v1::JobSpec& s) {
        s.set_definition(std::string(kJobDefinitionBytesMax + 1, 'x'));
      },
      "definition");
  // 2^48 batches in one epoch, times 10^6: overflows 64 bits.
  ExpectRefused(
      [](v1::JobSpec& s) {
        s.set_examples(uint64_t{1} << 48);
        s.set_batch(1);
        s.set_batches_per_data_shard(1);
        s.set_epochs(1'000'000);
      },
      "data shards");
}

TEST_F(JobsTest, ForgetsTheOldestThatIsOverWhenFull) {
  for (size_t i = 0; i < kJobsMax; ++i) {
    ASSERT_TRUE(Create(TestJobSpec(absl::StrCat("j", i))).ok());
  }
  EXPECT_CODE(kResourceExhausted, Create(TestJobSpec("more")));
  ASSERT_TRUE((*jobs_.Find("j7"))->Stop(now_).ok());
  ASSERT_TRUE(Create(TestJobSpec("more")).ok());
  EXPECT_CODE(kNotFound, jobs_.Find("j7"));
  EXPECT_FALSE(changes_.writes().at("jobs/8/spec").has_value());
}

TEST_F(JobsTest, AStoppedJobWithLiveMembersIsNotForgotten) {
  for (size_t i = 0; i < kJobsMax; ++i) {
    ASSERT_TRUE(Create(TestJobSpec(absl::StrCat("j", i))).ok());
  }
  Job* job = *jobs_.Find("j7");
  v1::JoinJobReply member;
  ASSERT_TRUE(job->Join({}, jobs_.sessions(), now_, &member).ok());
  ASSERT_TRUE(job->Stop(now_).ok());
  EXPECT_CODE(kResourceExhausted, Create(TestJobSpec("more")));
}

TEST_F(JobsTest, LimitsMembersOfAllJobsTogether) {
  constexpr uint32_t kPerJob = kMembersMax / kJobsMax;
  for (size_t i = 0; i < kJobsMax; ++i) {
    v1::JobSpec spec = TestJobSpec(absl::StrCat("j", i));
    spec.set_workers(kPerJob);
    ASSERT_TRUE(Create(spec).ok());
    Job* job = *jobs_.Find(reply_.job());
    for (uint32_t rank = 0; rank < kPerJob; ++rank) {
      ASSERT_TRUE(jobs_.CheckRoomForMember().ok());
      v1::JoinJobReply member;
      ASSERT_TRUE(job->Join({}, jobs_.sessions(), now_, &member).ok());
    }
  }
  EXPECT_CODE(kResourceExhausted, jobs_.CheckRoomForMember());
}

TEST_F(JobsTest, StateHasJobsWithMembersOnly) {
  ASSERT_TRUE(Create(TestJobSpec("a")).ok());
  ASSERT_TRUE(Create(TestJobSpec("b")).ok());
  v1::JoinJobReply member;
  ASSERT_TRUE(
      (*jobs_.Find("b"))->Join({}, jobs_.sessions(), now_, &member).ok());
  v1::ClusterState state;
  jobs_.FillState(&state);
  ASSERT_EQ(state.jobs_size(), 1);
  EXPECT_EQ(state.jobs(0).name(), "b");
}

TEST_F(JobsTest, ListsJobsWithoutTheirDefinitions) {
  v1::JobSpec spec = TestJobSpec();
  spec.set_definition("long");
  ASSERT_TRUE(Create(spec).ok());
  v1::ListJobsReply list;
  jobs_.FillList(now_, &list);
  ASSERT_EQ(list.jobs_size(), 1);
  EXPECT_EQ(list.jobs(0).spec().name(), "fashion");
  EXPECT_EQ(list.jobs(0).spec().definition(), "");
}

TEST(IdCounterTest, NeverRepeatsAcrossRestarts) {
  Changes changes;
  IdCounter ids("next/x", /*block=*/4, changes);
  EXPECT_EQ(ids.Take(), 1u);
  EXPECT_EQ(ids.Take(), 2u);
  std::string stored = *changes.reservations().at("next/x");
  changes.Clear();
  EXPECT_EQ(ids.Take(), 3u);
  EXPECT_TRUE(changes.empty());  // within the block
  IdCounter restarted("next/x", 4, changes);
  ASSERT_TRUE(restarted.Load(stored));
  EXPECT_EQ(restarted.Take(), 5u);
  EXPECT_FALSE(restarted.Load("-3"));
  EXPECT_FALSE(restarted.Load("many"));
}

}  // namespace
}  // namespace paramo
