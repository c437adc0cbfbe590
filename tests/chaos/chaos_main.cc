// paramo-chaos: breaks a cluster of real processes on purpose, and holds what
// is left against what clients were told.
#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/interrupt.h"
#include "client/cli/janitor.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/config.h"
#include "tests/chaos/client_load.h"
#include "tests/chaos/cluster.h"
#include "tests/chaos/faults.h"
#include "tests/chaos/isolation.h"
#include "tests/chaos/report.h"
#include "tests/chaos/run.h"

namespace paramo::chaos {
namespace {

struct Options {
  RunOptions run;
  std::string kinds = "all";
  std::string json;
  LoadOptions load;  // of a client process
  bool is_client = false;
};

void DeclareRun(Config& config, Options& options) {
  RunOptions& run = options.run;
  config.Int("servers", run.servers, {1, 32}, "paramo-server processes");
  config.Int("replicas", run.replicas, {1, 8}, "of each shard");
  config.Int("clients", run.clients, {1, 32}, "client processes");
  config.Int("shards", run.shards, {1, 4096}, "a power of two");
  config.Int("faults", run.faults, {0, 1'000'000},
             "faults that have to land; then the run ends");
  config
      .Text("kinds", options.kinds,
            "faults to choose from, or all: kill9, stop, partition, "
            "blackhole, delay, reorder, duplicate, corrupt, half_open, "
            "disk_full, coordinator_kill, etcd_kill, worker_kill")
      .Unit("A,B");
  config.Int("seed", run.seed, {0, INT64_MAX}, "of every random choice");
  config.Choice("durability", run.durability,
                {"replicated", "logged", "synced"}, "of the tables");
  config.Choice("rule", run.rule, {"sgd", "adagrad", "adam"},
                "of the tables; rows of others than sgd are held against a "
                "replay of the logs, which are kept whole");
  config.Choice("store", run.store, {"embedded", "etcd"},
                "of the coordinator; etcd: three members of it are started, "
                "and two coordinators");
  config.Text("json", options.json, "JSON Lines go here; - = stdout")
      .Unit("FILE");
  config.Example("paramo-chaos --faults 20 --kinds kill9,stop --seed 7");
}

void DeclareClient(Config& config, Options& options) {
  LoadOptions& load = options.load;
  config.Int("client", load.client, {0, 1 << 30}, "be this client process")
      .FlagOnly()
      .Hidden();
  config.Text("address", load.addresses, "of the cluster").FlagOnly().Hidden();
  config.Text("ledger", load.ledger, "to be made").FlagOnly().Hidden();
  config.Int("parent-fd", load.parent_fd, {-1, 1 << 20}, "stop with this pipe")
      .FlagOnly()
      .Hidden();
}

void Explain(const Summary& summary, Report& report) {
  const Verdict& v = summary.verdict;
  for (const auto& [kind, why] : summary.skipped) {
    report.Text(absl::StrCat("skipped ", kind, ": ", why));
  }
  report.Text(absl::StrFormat(
      "attempted %d, acked %d, failed %d, unknown %d\n"
      "found %d, lost %d, duplicated %d, recovered %d, unexpected %d, "
      "divergent replicas %d",
      v.attempted, v.acked, v.failed, v.unknown, v.found, v.lost, v.duplicated,
      v.recovered, v.unexpected, summary.divergent_replicas));
  if (!summary.error.empty()) report.Text("error: " + summary.error);
  report.Text(absl::StrFormat("%s: seed %d, %.1f s",
                              summary.pass() ? "PASS" : "FAIL", summary.seed,
                              absl::ToDoubleSeconds(summary.duration)));
}

// The processes' logs, beside the directory that goes when the run ends.
void KeepLogs(const std::string& directory, Report& report) {
  namespace fs = std::filesystem;
  const std::string kept = directory + "-logs";
  std::error_code error;
  fs::create_directory(kept, error);
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().extension() != ".log") continue;
    fs::copy_file(entry, fs::path(kept) / entry.path().filename(), error);
  }
  report.Text(error ? "cannot keep the logs: " + error.message()
                    : "logs kept in " + kept);
}

// Before any thread: the signals, the janitor (who stays outside of the network
// and the mounts, so that nothing in them can keep it from cleaning up), then
// these.
absl::StatusOr<Summary> RunAll(Options& options, Report& report) {
  cli::Interrupt interrupt;
  PARAMO_ASSIGN_OR_RETURN(auto workplace, cli::Workplace::Make());
  Isolation isolation = Isolation::Enter();
  report.Text(
      absl::StrCat("seed ", options.run.seed, ", in ", workplace->directory(),
                   "; network of its own: ", ToString(isolation.network())));
  Summary summary =
      RunChaos(options.run, *workplace, isolation, interrupt, report);
  if (!summary.pass()) KeepLogs(workplace->directory(), report);
  return summary;
}

int Main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  Options options;
  options.load.client = 0;
  Config config("paramo-chaos",
                "breaks a cluster on purpose and checks what it promised");
  DeclareRun(config, options);
  DeclareClient(config, options);
  if (auto exit_status = config.ParseMain(argc, argv)) return *exit_status;
  if (options.load.client != 0) {
    SetLog(LogLevel::kInfo, "client");
    options.load.seed = options.run.seed;
    options.load.rule = options.run.rule;
    const absl::Status status = RunLoad(options.load);
    if (!status.ok()) LogError("%s", ToString(status));
    return status.ok() ? kExitOk : kExitFailure;
  }
  SetLog(LogLevel::kWarning, "chaos");
  options.run.kinds = AllKinds();
  if (options.kinds != "all") {
    auto kinds = ParseKinds(options.kinds);
    if (!kinds.ok()) {
      std::fprintf(stderr, "%s\n", ToString(kinds.status()).c_str());
      return kExitUsage;
    }
    options.run.kinds = *std::move(kinds);
  }
  auto report = Report::Open(options.json);
  absl::StatusOr<Summary> summary =
      report.ok() ? RunAll(options, *report)
                  : absl::StatusOr<Summary>(report.status());
  if (!summary.ok()) {
    std::fprintf(stderr, "paramo-chaos: %s\n",
                 ToString(summary.status()).c_str());
    return kExitConfig;
  }
  Explain(*summary, *report);
  if (!summary->error.empty()) report->Json(ErrorToJson(summary->error));
  report->Json(ToJson(*summary));
  return summary->pass() ? kExitOk : kExitFailure;
}

}  // namespace
}  // namespace paramo::chaos

int main(int argc, char** argv) { return paramo::chaos::Main(argc, argv); }
