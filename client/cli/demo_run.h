// The middle of `paramo demo`: workers on a running cluster, then the same job
// in one process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/demo_job.h"
#include "client/cli/interrupt.h"
#include "client/cli/janitor.h"
#include "client/cli/local_cluster.h"
#include "client/cli/process.h"
#include "client/cli/progress.h"
#include "client/cli/witness.h"
#include "client/core/control.h"

namespace paramo::cli {

// Filled as far as the demo came.
struct DemoResult {
  double seconds = 0;  // from the start of the workers to the end of the job
  double examples_per_second = 0;
  std::string metric_name;
  double metric = 0;
  double reference_metric = 0;
  uint64_t pushes = 0;
  uint64_t pulls = 0;
  uint64_t push_bytes = 0;
  uint64_t pull_bytes = 0;
  uint32_t deaths = 0;
  std::string killed;       // the server that was, and its pid
  double recovery_ms = -1;  // from its death until others lead; -1: none
  Testimony witness;
  std::map<std::string, uint32_t> shards_per_server;  // by process
  std::string neighbours;                             // debgraph: for people
  bool pass = false;
  std::string error;
};

// Threads: one. Borrows everything.
class DemoRun {
 public:
  DemoRun(const DemoJob& job, Workplace& workplace, LocalCluster& cluster,
          Interrupt& interrupt, ProgressPrinter& printer,
          std::function<void(const std::string& line)> json);
  // Stops workers that still run.
  ~DemoRun();

  // Starts the workers and returns when the job is over. A worker that dies is
  // noted; the job goes on without it.
  // Errors: CANCELLED            interrupted
  //         FAILED_PRECONDITION  a server died, or every worker did, with logs
  absl::Status Train(const std::string& job_file, DemoResult& result);

  // Train will kill -9 a server in mid-run, a primary of many shards.
  void KillOne() { kill_one_ = true; }

  // Trains the reference and reads its metric.
  absl::Status Reference(DemoResult& result);

 private:
  absl::Status StartWorkers(const std::string& job_file);
  // Notes workers that have ended; false when none runs any more.
  bool WatchWorkers();
  absl::Status CheckSomeWorkerFinished();
  // Kills a server and waits until others lead its shards.
  absl::Status KillServer(DemoResult& result);
  absl::Status Finish(absl::Duration took, DemoResult& result);

  const DemoJob& job_;
  Workplace& workplace_;
  LocalCluster& cluster_;
  Interrupt& interrupt_;
  ProgressPrinter& printer_;
  const std::function<void(const std::string& line)> json_;
  std::string job_path_;
  bool kill_one_ = false;  // still to be done
  std::unique_ptr<client::Control> control_;
  std::vector<std::unique_ptr<Process>> workers_;
  std::vector<bool> noted_;  // per worker: its end has been shown
  ProgressMeter meter_;
};

}  // namespace paramo::cli
