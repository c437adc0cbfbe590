// `paramo status`, `paramo job ...`: what a cluster is doing.
#include "common/base/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/describe.h"
#include "client/cli/staleness.h"
#include "client/core/control.h"
#include "common/base/log.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

// One that stands still should not keep the rest from being shown.
constexpr absl::Duration kStatsTime = absl::Seconds(2);

// A heading and its table; nothing when there are no rows.
std::string Section(const std::string& title, const Records& records) {
  if (records.empty()) return absl::StrCat("\nno ", title, "\n");
  return absl::StrCat("\n", records.Table());
}

// Which of the addresses are coordinators, and which one leads. Servers have
// no such metric and are left out.
Records CoordinatorRecords(client::Control& control) {
  Records records({"coordinator", "state"});
  for (const std::string& address : control.addresses()) {
    const auto stats = control.Stats(address, kStatsTime);
    if (!stats.ok()) {
      records.Add({address, "no answer"});
      continue;
    }
    for (const v1::Metric& metric : (*stats)->metrics()) {
      if (metric.name() != "paramo_coordinator_leading") continue;
      records.Add({address, metric.value() == 1 ? "leads" : "stands by"});
    }
  }
  return records;
}

absl::StatusOr<std::string> StatusText(const ClusterFlags& flags) {
  client::Control control(flags.address);
  PARAMO_ASSIGN_OR_RETURN(auto state, control.State(flags.timeout));
  // Any server has the rest, when the coordinator is away or is not named.
  const auto jobs = control.ListJobs(flags.timeout);
  const Records coordinators = CoordinatorRecords(control);
  const std::string id =
      absl::StrCat(absl::Hex(state->cluster_id(), absl::kZeroPad16));
  uint32_t unplaced = 0, offline = 0, down = 0;
  for (const v1::Shard& shard : state->shards()) {
    unplaced += shard.primary() == 0;
    offline += IsOffline(*state, shard);
  }
  for (const v1::Server& server : state->servers()) {
    down += server.status() == v1::SERVER_STATUS_DOWN;
  }
  const bool most_down =
      2 * down > static_cast<uint32_t>(state->servers_size());
  if (flags.json()) {
    return absl::StrCat(
        "{\"cluster\": ", JsonString(id), ", \"version\": ", state->version(),
        ", \"shards\": ", state->shard_count(), ", \"unplaced\": ", unplaced,
        ", \"offline\": ", offline, ", \"coordinators\": ", coordinators.Json(),
        ", \"servers\": ", ServerRecords(*state).Json(),
        ", \"tables\": ", TableRecords(*state).Json(),
        ", \"jobs\": ", jobs.ok() ? JobRecords(**jobs).Json() : "null", "}\n");
  }
  return absl::StrCat(
      "cluster ", id, "  shards ", state->shard_count(),
      unplaced == 0 ? "" : absl::StrCat(" (", unplaced, " without a server)"),
      "  state version ", state->version(), "\n",
      offline == 0
          ? ""
          : absl::StrCat(offline,
                         " offline: no replica that has all of them is up; see "
                         "`paramo shard list` and the servers' logs\n"),
      most_down
          ? "more than half of the servers are down: nothing is moved, and "
            "a primary that starts again may have to wait, until half are "
            "up\n"
          : "",
      coordinators.empty() ? "" : Section("coordinators", coordinators),
      Section("servers", ServerRecords(*state)),
      Section("tables", TableRecords(*state)),
      jobs.ok()
          ? Section("jobs", JobRecords(**jobs))
          : absl::StrCat("\njobs unknown: ", jobs.status().message(), "\n"));
}

absl::StatusOr<std::string> JobListText(const ClusterFlags& flags) {
  client::Control control(flags.address);
  PARAMO_ASSIGN_OR_RETURN(auto jobs, control.ListJobs(flags.timeout));
  const Records records = JobRecords(*jobs);
  if (flags.json()) return records.Json() + "\n";
  return records.empty() ? "no jobs\n" : records.Table();
}

absl::StatusOr<std::string> JobText(const ClusterFlags& flags,
                                    const std::string& name) {
  client::Control control(flags.address);
  PARAMO_ASSIGN_OR_RETURN(auto job, control.DescribeJob(name, flags.timeout));
  v1::ListJobsReply one;
  *one.add_jobs() = *job;
  const Records workers = WorkerRecords(*job);
  const Staleness staleness = AskStaleness(control, name, flags.timeout);
  if (flags.json()) {
    return absl::StrCat(
        "{\"job\": ", JobRecords(one).Json(), ", \"workers\": ", workers.Json(),
        ", \"verdict\": ", JsonString(StepVerdict(*job)),
        ", \"staleness\": ", staleness.Json(),
        ", \"batches_repeated\": ", job->batches_repeated(),
        ", \"error\": ", JsonString(job->error()),
        ", \"definition\": ", JsonString(job->spec().definition()), "}\n");
  }
  const std::string verdict = StepVerdict(*job);
  return absl::StrCat(
      JobRecords(one).Table(), Section("workers", workers),
      verdict.empty() ? "" : absl::StrCat("\n", verdict, "\n"),
      staleness.empty() ? ""
                        : absl::StrCat("\nclocks that pushes are behind   ",
                                       staleness.Text(), "\n"),
      "\nbatches repeated ", job->batches_repeated(),
      job->error().empty()
          ? ""
          : absl::StrCat("\nerror ", Printable(job->error(), 512)),
      "\n");
}

int Show(const absl::StatusOr<std::string>& text) {
  if (!text.ok()) return Fail(text.status());
  Print(*text);
  return kExitOk;
}

}  // namespace

int RunStatus(const Args& args) {
  ClusterFlags flags;
  Config config("paramo status", "servers, shards, tables and jobs");
  flags.AddTo(config);
  config.Example("paramo status --address 127.0.0.1:7070");
  config.Example("PARAMO_ADDRESS=127.0.0.1:7070 paramo status --output json");
  if (auto status = config.ParseMain(args)) return *status;
  return Show(StatusText(flags));
}

int RunJobList(const Args& args) {
  ClusterFlags flags;
  Config config("paramo job list", "every job of the cluster");
  flags.AddTo(config);
  config.Example("paramo job list --output json");
  if (auto status = config.ParseMain(args)) return *status;
  return Show(JobListText(flags));
}

int RunJobDescribe(const Args& args) {
  ClusterFlags flags;
  std::string name;
  Config config("paramo job describe", "one job and its workers");
  config.Positional("job", name, "the job's name");
  flags.AddTo(config);
  config.Example("paramo job describe fashion");
  if (auto status = config.ParseMain(args)) return *status;
  return Show(JobText(flags, name));
}

int RunJobStop(const Args& args) {
  ClusterFlags flags;
  std::string name;
  Config config("paramo job stop", "stops a job after the current step");
  config.Positional("job", name, "the job's name");
  flags.AddTo(config);
  config.Example("paramo job stop fashion");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  const absl::Status stopped = control.StopJob(name, flags.timeout);
  if (!stopped.ok()) return Fail(stopped);
  Print(absl::StrCat("job ", name, " will stop after its current step\n"));
  return kExitOk;
}

}  // namespace paramo::cli
