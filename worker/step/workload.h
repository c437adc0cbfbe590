// What a job file names, opened: data sets and model.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/compute/compute.h"
#include "worker/data/dataset.h"
#include "worker/model/model.h"
#include "worker/step/job_file.h"

namespace paramo {

// What the metric of every job here is called.
inline constexpr char kMetricName[] = "test_accuracy";

struct Workload {
  JobFile job;
  std::unique_ptr<Compute> compute;
  std::unique_ptr<Model> model;  // borrows `compute`
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> test;
};

// Reads the job file and its data.
// Errors: of ReadJobFile and OpenIdxData; INVALID_ARGUMENT when the model's
//         layers do not fit the data.
absl::StatusOr<Workload> OpenWorkload(const std::string& job_file);

}  // namespace paramo
