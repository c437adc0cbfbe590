// A worker process: everything behind paramo-worker's flags.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace paramo {

struct WorkerOptions {
  std::string job_file;
  std::vector<std::string> addresses;  // of the cluster
  bool reference = false;              // train alone, without a cluster
  std::string json_file;  // the reference's figures as JSON Lines; "-" = stdout
  std::string weights_file;  // .npz of the final weights
  double slow_factor = 1;    // for experiments: stretches every computation
};

// Trains until the job is over, a person stops it, or `stop` becomes true; then
// leaves the job. OK in all three cases.
// Errors: INVALID_ARGUMENT     the job file, or data that does not fit it
//         FAILED_PRECONDITION  the job is over, or has all its workers
//         and what the data set and the cluster report.
absl::Status RunWorker(const WorkerOptions& options,
                       const std::atomic<bool>& stop);

// Trains the same model in this process alone (worker/step/reference.h) and
// prints a line per epoch.
absl::Status RunReference(const WorkerOptions& options);

}  // namespace paramo
