// What a job file names, opened: data sets and model.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/compute/compute.h"
#include "worker/data/dataset.h"
#include "worker/data/debgraph.h"
#include "worker/data/libsvm.h"
#include "worker/model/model.h"
#include "worker/model/sparse_model.h"
#include "worker/step/job_file.h"

namespace paramo {

// Either `model` or `sparse` is there.
struct Workload {
  JobFile job;
  std::unique_ptr<Dataset> train;
  const char* metric_name = nullptr;

  // Dense models.
  std::unique_ptr<Compute> compute;
  std::unique_ptr<Model> model;  // borrows `compute`
  std::unique_ptr<Dataset> test;

  // Sparse models, which borrow one of the two.
  std::unique_ptr<const LibsvmData> examples;
  std::unique_ptr<const PackageGraph> graph;
  std::unique_ptr<SparseModel> sparse;
};

// Reads the job file and its data, and logs what it found.
// Errors: of ReadJobFile, OpenIdxData, ReadLibsvm and ReadPackageGraph;
//         INVALID_ARGUMENT when the model's layers do not fit the data, or all
//         held-out examples have one label.
absl::StatusOr<Workload> OpenWorkload(const std::string& job_file);

}  // namespace paramo
