// `paramo demo`: a local cluster, a real job on it, and a verdict against the
// same model trained in one process.
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/demo_graph.h"
#include "client/cli/demo_job.h"
#include "client/cli/demo_run.h"
#include "client/cli/interrupt.h"
#include "client/cli/local_cluster.h"
#include "client/cli/progress.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo::cli {
namespace {

// Known to many, and needed by enough others to have been learned well.
constexpr char kPackages[] =
    "firefox-esr,vim,libgtk-3-0,r-base-core,texlive-latex-base";

struct DemoOptions {
  DemoJob job;
  LocalClusterOptions cluster;
  std::vector<std::string> neighbours;  // of which packages; debgraph
  std::string json;                     // file, "-" for stdout, or empty
  bool kill_one = false;
  bool no_kill = false;

  // A server can be spared when another has all it has.
  bool kills() const { return !no_kill && cluster.Replicas() > 1; }
};

// Where the JSON Lines go. Opened before anything starts, so that a bad name
// fails at once; every line is flushed.
class JsonLines {
 public:
  absl::Status Open(const std::string& path) {
    if (path.empty()) return absl::OkStatus();
    file_ = path == "-" ? stdout : std::fopen(path.c_str(), "we");
    return file_ != nullptr
               ? absl::OkStatus()
               : ErrnoStatus(errno, absl::StrCat("cannot write ", path));
  }
  ~JsonLines() {
    if (file_ != nullptr && file_ != stdout) std::fclose(file_);
  }
  void Write(const std::string& line) {
    if (file_ == nullptr) return;
    std::fprintf(file_, "%s\n", line.c_str());
    std::fflush(file_);
  }

 private:
  std::FILE* file_ = nullptr;
};

std::string ResultJson(const DemoOptions& options, const DemoResult& result) {
  return JsonObject({{"job", options.job.name},
                     {"sync", options.job.sync},
                     {"servers", options.cluster.servers},
                     {"replicas", options.cluster.Replicas()},
                     {"recovery_ms", result.recovery_ms},
                     {"acked_lost", result.witness.acked_lost},
                     {"applied_twice", result.witness.applied_twice},
                     {"workers", options.job.workers},
                     {"epochs", options.job.epochs},
                     {"local_steps", options.job.local_steps},
                     {"slow_factor", options.job.slow_factor},
                     {"seconds", result.seconds},
                     {"examples_per_second", result.examples_per_second},
                     {"metric_name", result.metric_name},
                     {"metric", result.metric},
                     {"reference_metric", result.reference_metric},
                     {"tolerance", options.job.tolerance},
                     {"pushes", result.pushes},
                     {"pulls", result.pulls},
                     {"push_bytes", result.push_bytes},
                     {"pull_bytes", result.pull_bytes},
                     {"pass", result.pass},
                     {"error", result.error}});
}

// "bsp", "bsp, 4 local steps"
std::string Manner(const DemoJob& job) {
  return job.local_steps == 0
             ? job.sync
             : absl::StrCat(job.sync, ", ", job.local_steps, " local steps");
}

// What became of the server that was killed, and of the pushes beside the job.
std::string Witnessed(const DemoResult& result) {
  const Testimony& told = result.witness;
  return absl::StrFormat(
      "%-20s %s\n%-20s %s acknowledged, %d lost, %d applied twice\n", "killed",
      result.killed.empty()
          ? std::string("nobody")
          : absl::StrFormat("%s; others led its shards after %.0f ms",
                            result.killed, result.recovery_ms),
      "pushes beside it", Thousands(told.acked), told.acked_lost,
      told.applied_twice);
}

std::string Verdict(const DemoOptions& options, const DemoResult& result) {
  std::string shards;
  for (const auto& server : result.shards_per_server) {
    absl::StrAppend(&shards, shards.empty() ? "" : ", ", server.first, " ",
                    server.second);
  }
  return absl::StrFormat(
      "\n%-20s %.4f   (%s, %d servers, %d workers, %s)\n"
      "%-20s %.4f   (one process, same batches)\n"
      "%-20s %+.4f  (allowed %.4f)\n"
      "%-20s %s\n"
      "%-20s %.1f s, %s examples/s, %s pushed, %s pulled\n"
      "%s%s\n",
      result.metric_name, result.metric, Manner(options.job),
      options.cluster.servers, options.job.workers,
      result.deaths == 0 ? std::string("no deaths")
                         : absl::StrCat("deaths: ", result.deaths),
      "reference", result.reference_metric, "difference",
      result.metric - result.reference_metric, options.job.tolerance, "shards",
      shards, "training", result.seconds,
      Thousands(static_cast<uint64_t>(result.examples_per_second)),
      HumanBytes(static_cast<double>(result.push_bytes)),
      HumanBytes(static_cast<double>(result.pull_bytes)), Witnessed(result),
      result.pass ? "PASS" : "FAIL");
}

absl::Status Demo(const DemoOptions& options, ProgressPrinter& printer,
                  JsonLines& json, DemoResult& result) {
  // A trained model in the way would make the comparison meaningless.
  const std::string& dir = options.cluster.dir;
  if (!dir.empty() && std::filesystem::exists(dir + "/coordinator")) {
    return absl::FailedPreconditionError(
        absl::StrCat(Printable(dir),
                     " holds a cluster already; give --dir an "
                     "empty folder"));
  }
  Interrupt interrupt;
  PARAMO_ASSIGN_OR_RETURN(auto workplace, Workplace::Make());
  DemoJob job = options.job;
  const bool graph = job.name == "debgraph";
  if (graph && job.data.empty()) {
    printer.Note("writing what `apt-cache dumpavail` knows to a file");
    job.data = workplace->directory() + "/dumpavail";
    PARAMO_RETURN_IF_ERROR(DumpPackages(job.data));
  }
  PARAMO_ASSIGN_OR_RETURN(std::string job_file, DemoJobFile(job));
  printer.Note(absl::StrFormat("starting %d servers", options.cluster.servers));
  PARAMO_ASSIGN_OR_RETURN(
      auto cluster,
      LocalCluster::Start(options.cluster, *workplace, interrupt));
  printer.Note(cluster->Processes().Table());
  DemoRun run(job, *workplace, *cluster, interrupt, printer,
              [&](const std::string& line) { json.Write(line); });
  if (options.kills()) run.KillOne();
  PARAMO_RETURN_IF_ERROR(run.Train(job_file, result));
  PARAMO_RETURN_IF_ERROR(run.Reference(result));
  result.pass = Passes(job, result.metric, result.reference_metric) &&
                result.witness.acked_lost == 0 &&
                result.witness.applied_twice == 0;
  if (graph) {
    PARAMO_ASSIGN_OR_RETURN(
        result.neighbours,
        NeighboursOf({cluster->address()}, job.name + ".target", job.data,
                     options.neighbours));
  }
  return absl::OkStatus();
}

// The settings as they are typed; what is not given is the job's own.
struct DemoFlags {
  std::string name = "fashion";
  std::string sync;
  uint32_t epochs = 0;
  uint32_t local_steps = 0;
  std::string outer = "sgd";
  std::string neighbours;
};

absl::Status Complete(const DemoFlags& flags, DemoOptions& options) {
  PARAMO_ASSIGN_OR_RETURN(DemoJob job, FindDemoJob(flags.name));
  job.workers = options.job.workers;
  job.data = options.job.data;
  job.slow_factor = options.job.slow_factor;
  if (!flags.sync.empty()) job.sync = flags.sync;
  if (flags.epochs > 0) job.epochs = flags.epochs;
  job.local_steps = flags.local_steps;
  job.outer = flags.outer;
  PARAMO_RETURN_IF_ERROR(CheckDemoJob(job));
  options.job = job;
  if (!flags.neighbours.empty() && job.name != "debgraph") {
    return absl::InvalidArgumentError(
        "--neighbours are of packages: it goes with `paramo demo debgraph`");
  }
  options.neighbours =
      absl::StrSplit(flags.neighbours.empty() ? kPackages : flags.neighbours,
                     ',', absl::SkipEmpty());
  return absl::OkStatus();
}

}  // namespace

int RunDemo(const Args& args) {
  DemoOptions options;
  DemoFlags flags;
  Config config("paramo demo",
                "a local cluster, a real training job on it, and a verdict");
  config.OptionalPositional("job", flags.name,
                            "fashion (images, the default) or debgraph "
                            "(which Debian package needs which)");
  config.Int("servers", options.cluster.servers, {1, 64}, "server processes");
  config.Int("replicas", options.cluster.replicas, {0, 7},
             "replicas of every shard; 0: two, or one on one server");
  config.Switch("kill-one", options.kill_one,
                "kill -9 a server in mid-run; done unless --no-kill");
  config.Switch("no-kill", options.no_kill, "let every server live");
  config.Int("workers", options.job.workers, {1, 64}, "worker processes");
  config
      .Text("sync", flags.sync,
            "when pushes are applied: bsp (per round), bsp+1 (not waiting "
            "for the last), ssp:2 (at most 2 steps apart), async; "
            "default: bsp for fashion, async for debgraph")
      .Unit("POLICY");
  config.Int("epochs", flags.epochs, {0, 1000},
             "passes over the data; 0: 5 for fashion, 10 for debgraph");
  config.Int("local-steps", flags.local_steps, {0, 64},
             "fashion: steps of a worker between two rounds, which average "
             "the workers' models; 0: none, rounds average gradients");
  config.Choice("outer", flags.outer, {"sgd", "nesterov"},
                "with --local-steps: the rule that applies the average");
  config.Number("slow-factor", options.job.slow_factor, {1, 1000},
                "for experiments: one worker takes this many times as long to "
                "compute");
  // The models are small, and a request has a section for each shard.
  options.cluster.shards = 16;
  config.Int("shards", options.cluster.shards, {1, kShardsMax},
             "shards of the cluster, a power of two");
  config
      .Text("json", options.json,
            "write JSON Lines here, the result last; - is stdout")
      .Unit("FILE");
  config
      .Text("data", options.job.data,
            "fashion: folder of the data set; debgraph: a file of what "
            "`apt-cache dumpavail` prints")
      .Unit("PATH");
  config
      .Text("neighbours", flags.neighbours,
            "debgraph: packages whose neighbours to show, comma-separated")
      .Unit("NAMES");
  config.Text("dir", options.cluster.dir, "keep data and logs in this folder")
      .Unit("DIR");
  config.Check([&] { return options.cluster.Check(); });
  config.Check([&] { return Complete(flags, options); });
  config.Check([&]() -> absl::Status {
    if (!options.kill_one || options.kills()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        options.no_kill
            ? "--kill-one and --no-kill: give one of them"
            : "--kill-one with one replica would stop the training until the "
              "server is back; give --replicas 2 and --servers 2 or more");
  });
  config.Example("paramo demo");
  config.Example("paramo demo debgraph --neighbours python3,git,gimp");
  config.Example("paramo demo --epochs 2 --json - | tail -1");
  if (auto status = config.ParseMain(args)) return *status;

  JsonLines json;
  if (absl::Status opened = json.Open(options.json); !opened.ok()) {
    return Fail(opened);
  }
  std::FILE* out = options.json == "-" ? stderr : stdout;
  ProgressPrinter printer(out);
  DemoResult result;
  const absl::Status status = Demo(options, printer, json, result);
  result.error = std::string(status.message());
  if (status.ok()) {
    std::fputs(result.neighbours.c_str(), out);
    std::fputs(Verdict(options, result).c_str(), out);
  }
  std::fflush(out);
  json.Write(ResultJson(options, result));
  if (!status.ok()) return Fail(status);
  return result.pass ? kExitOk : kExitFailure;
}

}  // namespace paramo::cli
