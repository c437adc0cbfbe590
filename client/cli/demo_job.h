// The jobs that `paramo demo` knows, and the job files it writes for them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace paramo::cli {

struct DemoJob {
  std::string name = "fashion";
  std::string sync = "bsp";
  uint32_t workers = 2;
  uint32_t epochs = 5;
  // Above 0: workers take so many steps between two rounds, whose average the
  // rule `outer` applies (model averaging); dense jobs with rounds only.
  uint32_t local_steps = 0;
  std::string outer = "sgd";  // or "nesterov"
  // Folder or file; empty: where the distribution installs it.
  std::string data;
  // Of the worker that starts last (paramo-worker --slow-factor).
  double slow_factor = 1;

  // How far the metric may be from that of one process. Two runs of the same
  // model with other rounding differ by about 0.003 in accuracy.
  double tolerance = 0.01;
};

// The job of that name with its own sync and epochs.
// Errors: INVALID_ARGUMENT  no such job, with a suggestion
absl::StatusOr<DemoJob> FindDemoJob(const std::string& name);

// Whether the job can do what is asked of it.
// Errors: INVALID_ARGUMENT  naming the flag to change
absl::Status CheckDemoJob(const DemoJob& job);

// Checks that the data is there, and gives the text of the job file
// (docs/job_file.md).
// Errors: INVALID_ARGUMENT  no such job, with a suggestion
//         NOT_FOUND         the data, with how to install it
absl::StatusOr<std::string> DemoJobFile(const DemoJob& job);

// Whether `metric` passes against the reference. bsp computes the reference's
// own rounds, so it must be near on both sides; async may also be better.
bool Passes(const DemoJob& job, double metric, double reference);

}  // namespace paramo::cli
