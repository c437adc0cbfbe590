// paramo-worker: trains a built-in model on a job's data.
#include <atomic>
#include <csignal>
#include <cstdio>

#include "common/base/cpu.h"
#include "common/base/log.h"
#include "common/base/parent_watch.h"
#include "common/base/status.h"
#include "common/config/config.h"
#include "worker/worker.h"

namespace paramo {
namespace {

// Set by SIGTERM and SIGINT: finish the step, leave the job, exit 0.
std::atomic<bool> stop_requested{false};

extern "C" void OnStopSignal(int) { stop_requested.store(true); }

void CatchStopSignals() {
  struct sigaction action = {};
  action.sa_handler = OnStopSignal;
  // A second signal ends the process at once.
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

int Main(int argc, char** argv) {
  WorkerOptions options;
  std::string log_level = "info";
  int parent_fd = -1;

  Config config("paramo-worker", "trains a job's model with a cluster");
  config.Text("job", options.job_file, "the job file (docs/job_file.md)")
      .Unit("FILE");
  config.Addresses("address", options.addresses, "where the cluster is");
  config
      .Text("save-weights", options.weights_file,
            "write the final weights here, as .npz; of several workers, the "
            "one that evaluates does")
      .Unit("FILE");
  config
      .Switch("reference", options.reference,
              "train in this process alone, by the rounds of bsp")
      .FlagOnly();
  config
      .Text("json", options.json_file,
            "with --reference: figures as JSON Lines; - is stdout")
      .Unit("FILE")
      .FlagOnly();
  config.Number("slow-factor", options.slow_factor, {1, 1000},
                "for experiments with a slow worker: sleep after computing, "
                "until it took this many times as long");
  config.Choice("log-level", log_level, {"debug", "info", "warning", "error"},
                "least level logged");
  config
      .Int("parent-fd", parent_fd, {-1, 1 << 20}, "stop when this pipe closes")
      .FlagOnly()
      .Hidden();
  config.Example("paramo-worker --job fashion.yaml --address 127.0.0.1:7070");
  config.Example("paramo-worker --job fashion.yaml --reference");
  config.Check([&]() -> absl::Status {
    if (options.job_file.empty()) {
      return absl::InvalidArgumentError("--job FILE is required");
    }
    if (!options.reference && options.addresses.empty()) {
      return absl::InvalidArgumentError(
          "--address HOST:PORT (or PARAMO_ADDRESS) is required, unless with "
          "--reference");
    }
    if (!options.reference && !options.json_file.empty()) {
      return absl::InvalidArgumentError("--json needs --reference");
    }
    return absl::OkStatus();
  });
  if (auto status = config.ParseMain(argc, argv)) return *status;

  LogLevel level = LogLevel::kInfo;
  ParseLogLevel(log_level, level);
  SetLog(level, "worker");
  absl::Status status = CheckCpu();
  if (status.ok()) {
    if (!options.reference) CatchStopSignals();
    ParentWatch parent(
        parent_fd, options.reference ? absl::ZeroDuration() : absl::Seconds(5),
        [] { stop_requested.store(true); });
    status = options.reference ? RunReference(options)
                               : RunWorker(options, stop_requested);
  }
  if (status.ok()) return kExitOk;
  std::fprintf(stderr, "paramo-worker: %s\n", ToString(status).c_str());
  return kExitFailure;
}

}  // namespace
}  // namespace paramo

int main(int argc, char** argv) { return paramo::Main(argc, argv); }
