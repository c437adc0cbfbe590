#include "worker/step/workload.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "worker/data/idx_dataset.h"

namespace paramo {

absl::StatusOr<Workload> OpenWorkload(const std::string& job_file) {
  Workload work;
  PARAMO_ASSIGN_OR_RETURN(work.job, ReadJobFile(job_file));
  const JobFile& job = work.job;
  PARAMO_ASSIGN_OR_RETURN(IdxData data,
                          OpenIdxData(job.data_dir, job.layers.back()));
  work.train = std::move(data.train);
  work.test = std::move(data.test);
  if (work.train->features() != job.layers.front()) {
    return absl::InvalidArgumentError(absl::StrCat(
        job_file, ": model.layers starts with ", job.layers.front(),
        ", but an example of ", job.data_dir, " has ", work.train->features(),
        " features; make the two equal"));
  }
  work.compute = MakeCpuCompute();
  work.model = MakeMlp(job.layers, *work.compute);
  return work;
}

}  // namespace paramo
