// A job file. Oracle: an accepted job can be planned, and keeps the limits of
// docs/job_file.md; an error names a place in the file.
#include "worker/step/job_file.h"

#include "absl/strings/match.h"
#include "common/base/limits.h"
#include "tests/fuzz/fuzz_input.h"
#include "worker/model/rule_schema.h"

namespace paramo {
namespace {

void Check(const JobFile& job) {
  PARAMO_CHECK(job.workers >= 1 && job.workers <= kWorkersPerJobMax);
  PARAMO_CHECK(job.worker_batch() * job.workers == job.global_batch);
  PARAMO_CHECK(job.worker_batch() >= 1 && job.epochs >= 1);
  PARAMO_CHECK(!job.job.empty() && job.job.size() <= kTableNameBytesMax);
  PARAMO_CHECK(!job.table_prefix.empty());
  PARAMO_CHECK(FindRuleSchema(job.rule) != nullptr);
  PARAMO_CHECK(job.dense() == !job.layers.empty());
  PARAMO_CHECK(job.TensorSeed(0) != 0);
  const BatchPlan plan = job.Plan(/*examples=*/100);
  PARAMO_CHECK(plan.data_shards() >= job.epochs);
  PARAMO_CHECK(plan.BatchesIn(0) >= 1);
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  auto job = ParseJobFile(text, "f.yaml");
  if (job.ok()) {
    Check(*job);
    PARAMO_CHECK(ParseJobFile(job->text, "f.yaml").ok());
  } else {
    PARAMO_CHECK(absl::IsInvalidArgument(job.status()));
    PARAMO_CHECK(absl::StartsWith(job.status().message(), "f.yaml:"));
  }
  return 0;
}
