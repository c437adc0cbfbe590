#include "client/cli/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

v1::JobReport Job(v1::Sync::Kind kind) {
  v1::JobReport job;
  job.mutable_spec()->mutable_sync()->set_kind(kind);
  return job;
}

void AddWorker(v1::JobReport& job, uint32_t rank, double input, double pull,
               double compute, double push, double wait = 0) {
  v1::WorkerReport& worker = *job.add_workers();
  worker.set_worker(rank);
  worker.set_live(true);
  v1::WorkerProgress& progress = *worker.mutable_progress();
  progress.set_step_ms_p50(input + pull + compute + push + wait);
  progress.set_input_ms(input);
  progress.set_pull_ms(pull);
  progress.set_compute_ms(compute);
  progress.set_push_ms(push);
  progress.set_wait_ms(wait);
}

TEST(StepVerdictTest, NamesTheSlowOneAndWhoWaits) {
  v1::JobReport job = Job(v1::Sync::BSP);
  AddWorker(job, 0, 0, 2, 10, 1, 18);
  AddWorker(job, 1, 0, 2, 10, 1, 18);
  AddWorker(job, 2, 1, 2, 30, 1);
  EXPECT_THAT(StepVerdict(job),
              AllOf(HasSubstr("most of it waiting for other workers"),
                    HasSubstr("worker 2 is slow"),
                    HasSubstr("31.0 ms of its own per step against 10.0"),
                    HasSubstr("the others wait")));
}

TEST(StepVerdictTest, AsyncWorkersWaitForNobody) {
  v1::JobReport job = Job(v1::Sync::ASYNC);
  AddWorker(job, 0, 0, 1, 10, 1);
  AddWorker(job, 1, 0, 1, 30, 1);
  EXPECT_THAT(StepVerdict(job), AllOf(HasSubstr("worker 1 is slow"),
                                      Not(HasSubstr("others wait"))));
}

TEST(StepVerdictTest, EvenWorkersAreNotSlow) {
  v1::JobReport job = Job(v1::Sync::BSP);
  AddWorker(job, 0, 9, 1, 2, 1);
  AddWorker(job, 1, 10, 1, 2, 1);
  EXPECT_THAT(StepVerdict(job),
              AllOf(HasSubstr("reading its data"), Not(HasSubstr("slow"))));
}

TEST(StepVerdictTest, SaysNothingBeforeTheFirstStep) {
  v1::JobReport job = Job(v1::Sync::BSP);
  EXPECT_EQ(StepVerdict(job), "");
  AddWorker(job, 0, 0, 0, 0, 0);
  EXPECT_EQ(StepVerdict(job), "");
}

TEST(TableRecordsTest, NameTheCodecOrTheNumberOfOneThatIsUnknown) {
  v1::ClusterState state;
  state.add_tables()->mutable_spec()->set_codec(2);
  EXPECT_THAT(TableRecords(state).Json(), HasSubstr("\"codec\": \"bf16\""));
  state.mutable_tables(0)->mutable_spec()->set_codec(250);
  EXPECT_THAT(TableRecords(state).Json(), HasSubstr("\"codec\": \"250\""));
}

}  // namespace
}  // namespace paramo::cli
