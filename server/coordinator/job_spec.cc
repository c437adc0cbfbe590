#include "server/coordinator/job_spec.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

constexpr uint32_t kLeaseMsDefault = 3'000;
constexpr uint32_t kLeaseMsMin = 100;
constexpr uint32_t kLeaseMsMax = 3'600'000;
constexpr uint32_t kStalenessMax = 1'000'000;
constexpr uint32_t kRoundDeadlineMsMax = 3'600'000;
constexpr uint32_t kEpochsMax = 1'000'000;
constexpr uint64_t kExamplesMax = uint64_t{1} << 48;
constexpr uint32_t kBatchMax = uint32_t{1} << 30;
// A data position is data shard << 32 | batch.
constexpr uint64_t kDataShardsMax = uint64_t{1} << 32;

// Each kind takes its own fields and no others.
absl::Status ValidateSync(const v1::Sync& sync, uint32_t workers) {
  bool ssp = sync.kind() == v1::Sync::SSP;
  bool bsp = sync.kind() == v1::Sync::BSP;
  bool round = sync.kind() == v1::Sync::ROUND;
  if (!v1::Sync::Kind_IsValid(sync.kind())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sync.kind ", static_cast<int>(sync.kind()),
        " is unknown; 0 (async), 1 (bsp), 2 (ssp) and 3 (round) are defined"));
  }
  PARAMO_RETURN_IF_ERROR(ValidateRange(
      "sync.staleness (of ssp)", sync.staleness(), 0, ssp ? kStalenessMax : 0));
  PARAMO_RETURN_IF_ERROR(ValidateRange("sync.backup_workers (of bsp)",
                                       sync.backup_workers(), 0,
                                       bsp ? workers - 1 : 0));
  PARAMO_RETURN_IF_ERROR(ValidateRange("sync.quorum (of round)", sync.quorum(),
                                       round ? 1 : 0, round ? workers : 0));
  return ValidateRange("sync.deadline_ms (of round)", sync.deadline_ms(), 0,
                       round ? kRoundDeadlineMsMax : 0);
}

}  // namespace

absl::Status NormaliseJobSpec(v1::JobSpec* spec) {
  PARAMO_RETURN_IF_ERROR(ValidateName("job name", spec->name()));
  PARAMO_RETURN_IF_ERROR(
      ValidateRange("workers", spec->workers(), 1, kWorkersPerJobMax));
  PARAMO_RETURN_IF_ERROR(ValidateSync(spec->sync(), spec->workers()));
  spec->mutable_sync();
  PARAMO_RETURN_IF_ERROR(
      ValidateRange("epochs", spec->epochs(), 1, kEpochsMax));
  PARAMO_RETURN_IF_ERROR(
      ValidateRange("examples", spec->examples(), 1, kExamplesMax));
  PARAMO_RETURN_IF_ERROR(ValidateRange("batch", spec->batch(), 1, kBatchMax));
  PARAMO_RETURN_IF_ERROR(ValidateRange(
      "batches_per_data_shard", spec->batches_per_data_shard(), 1, kBatchMax));
  if (spec->lease_ms() == 0) spec->set_lease_ms(kLeaseMsDefault);
  PARAMO_RETURN_IF_ERROR(
      ValidateRange("lease_ms", spec->lease_ms(), kLeaseMsMin, kLeaseMsMax));
  PARAMO_RETURN_IF_ERROR(ValidateRange("definition's length",
                                       spec->definition().size(), 0,
                                       kJobDefinitionBytesMax));
  if (PlanOf(*spec).ShardsPerEpoch() > kDataShardsMax / spec->epochs()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the job has more than ", kDataShardsMax,
                     " data shards; raise batch or batches_per_data_shard"));
  }
  return absl::OkStatus();
}

DataPlan PlanOf(const v1::JobSpec& spec) {
  DataPlan plan;
  plan.workers = spec.workers();
  plan.epochs = spec.epochs();
  plan.examples = spec.examples();
  plan.batch = spec.batch();
  plan.batches_per_shard = spec.batches_per_data_shard();
  plan.owned =
      spec.sync().kind() == v1::Sync::BSP && spec.sync().backup_workers() == 0;
  return plan;
}

std::string DescribeDifference(const v1::JobSpec& there,
                               const v1::JobSpec& asked) {
  std::vector<std::string> found;
  auto compare = [&found](absl::string_view field, uint64_t a, uint64_t b) {
    if (a == b) return;
    found.push_back(absl::StrCat(field, ": ", a, " there, ", b, " asked"));
  };
  if (there.sync().kind() != asked.sync().kind()) {
    found.push_back(absl::StrCat(
        "sync: ", v1::Sync::Kind_Name(there.sync().kind()), " there, ",
        v1::Sync::Kind_Name(asked.sync().kind()), " asked"));
  }
  compare("sync.staleness", there.sync().staleness(), asked.sync().staleness());
  compare("sync.backup_workers", there.sync().backup_workers(),
          asked.sync().backup_workers());
  compare("sync.quorum", there.sync().quorum(), asked.sync().quorum());
  compare("sync.deadline_ms", there.sync().deadline_ms(),
          asked.sync().deadline_ms());
  compare("workers", there.workers(), asked.workers());
  compare("epochs", there.epochs(), asked.epochs());
  compare("examples", there.examples(), asked.examples());
  compare("batch", there.batch(), asked.batch());
  compare("batches_per_data_shard", there.batches_per_data_shard(),
          asked.batches_per_data_shard());
  compare("lease_ms", there.lease_ms(), asked.lease_ms());
  if (there.definition() != asked.definition()) {
    found.push_back(absl::StrCat("definition", ": the two differ"));
  }
  return absl::StrJoin(found, "; ");
}

}  // namespace paramo
