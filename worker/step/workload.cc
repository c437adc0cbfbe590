#include "worker/step/workload.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "worker/data/idx_dataset.h"
#include "worker/data/indexed_dataset.h"
#include "worker/data/partition.h"

namespace paramo {
namespace {

// Draws of a model (negatives) are not those of its tables' first rows.
constexpr uint64_t kDrawSeed = 0x6e65676174697665;  // "negative"

absl::Status OpenIdx(const std::string& job_file, Workload& work) {
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
  work.metric_name = "test_accuracy";
  return absl::OkStatus();
}

absl::Status OpenLibsvm(Workload& work) {
  PARAMO_ASSIGN_OR_RETURN(LibsvmData data, ReadLibsvm(work.job.data_file));
  const std::vector<uint8_t>& held_out = data.held_out.labels;
  const auto positives = std::count(held_out.begin(), held_out.end(), 1);
  if (positives == 0 || static_cast<size_t>(positives) == held_out.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(work.job.data_file, ": all ", held_out.size(),
                     " held-out examples have the same label, which no model "
                     "can be judged by; give more examples of both"));
  }
  work.train = MakeIndexedDataset(data.train.labels, /*classes=*/2);
  work.examples = std::make_unique<const LibsvmData>(std::move(data));
  work.sparse = MakeLogistic(*work.examples);
  LogInfo("%d features; %d examples held out",
          work.sparse->tables().front().keys.size(),
          work.examples->held_out.size());
  return absl::OkStatus();
}

absl::Status OpenGraph(Workload& work) {
  const JobFile& job = work.job;
  PARAMO_ASSIGN_OR_RETURN(PackageGraph graph, ReadPackageGraph(job.data_file));
  LogInfo("%d packages, %d edges, %d held out", graph.names.size(),
          graph.train.size(), graph.held_out.size());
  work.train = MakeIndexedDataset(std::vector<uint8_t>(graph.train.size()),
                                  /*classes=*/1);
  work.graph = std::make_unique<const PackageGraph>(std::move(graph));
  work.sparse = MakeLinkPrediction(*work.graph, job.dim, job.negatives,
                                   job.seed ^ kDrawSeed);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Workload> OpenWorkload(const std::string& job_file) {
  Workload work;
  PARAMO_ASSIGN_OR_RETURN(work.job, ReadJobFile(job_file));
  work.metric_name = "held_out_auc";
  if (work.job.data_format == "libsvm") {
    PARAMO_RETURN_IF_ERROR(OpenLibsvm(work));
  } else if (work.job.data_format == "debgraph") {
    PARAMO_RETURN_IF_ERROR(OpenGraph(work));
  } else {
    PARAMO_RETURN_IF_ERROR(OpenIdx(job_file, work));
  }
  if (work.train->classes() > 1) {
    PARAMO_ASSIGN_OR_RETURN(const std::vector<int32_t> labels,
                            LabelsOf(*work.train));
    LogInfo("training data: %s", LabelHistogram(labels));
  }
  return work;
}

}  // namespace paramo
