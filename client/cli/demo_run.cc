#include "client/cli/demo_run.h"

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/config/file.h"
#include "nlohmann/json.hpp"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

constexpr absl::Duration kAskEvery = absl::Milliseconds(250);
constexpr absl::Duration kAskWithin = absl::Seconds(5);
constexpr absl::Duration kStalenessEvery = absl::Seconds(1);
constexpr absl::Duration kStopGrace = absl::Seconds(5);
constexpr double kJsonLinesEvery = 1.0;  // seconds
// When --kill-one kills: as a share of the run.
constexpr double kKillAt = 0.4;
constexpr absl::Duration kRecoverWithin = absl::Seconds(10);
constexpr absl::Duration kRecoverPoll = absl::Milliseconds(5);
constexpr size_t kReferenceBytesMax = 16 << 20;

absl::Status Interrupted() { return absl::CancelledError("interrupted"); }

absl::Status WriteFile(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text << std::flush;
  if (out) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", path));
}

// The `metric` of the last line of a JSON Lines file.
absl::StatusOr<double> ReadMetric(const std::string& path) {
  PARAMO_ASSIGN_OR_RETURN(std::string text,
                          ReadFileUpTo(path, kReferenceBytesMax));
  std::vector<std::string> lines =
      absl::StrSplit(text, '\n', absl::SkipEmpty());
  if (!lines.empty()) {
    const auto last = nlohmann::json::parse(lines.back(), nullptr,
                                            /*allow_exceptions=*/false);
    if (last.is_object() && last.contains("metric") &&
        last["metric"].is_number()) {
      return last["metric"].get<double>();
    }
  }
  return absl::InternalError(
      absl::StrCat("the reference run wrote no metric to ", path));
}

}  // namespace

DemoRun::DemoRun(const DemoJob& job, Workplace& workplace,
                 LocalCluster& cluster, Interrupt& interrupt,
                 ProgressPrinter& printer,
                 std::function<void(const std::string& line)> json)
    : job_(job),
      workplace_(workplace),
      cluster_(cluster),
      interrupt_(interrupt),
      printer_(printer),
      json_(std::move(json)),
      control_(std::make_unique<client::Control>(
          std::vector<std::string>{cluster.address()})) {}

DemoRun::~DemoRun() {
  std::vector<Process*> running;
  for (auto& worker : workers_) running.push_back(worker.get());
  StopAll(running, kStopGrace);
  for (auto& worker : workers_) workplace_.Forget(*worker);
}

absl::Status DemoRun::StartWorkers(const std::string& job_file) {
  job_path_ = absl::StrCat(workplace_.directory(), "/job.yaml");
  PARAMO_RETURN_IF_ERROR(WriteFile(job_path_, job_file));
  std::string pids;
  for (uint32_t i = 1; i <= job_.workers; ++i) {
    const std::string name = absl::StrCat("worker-", i);
    std::vector<std::string> args = {"--job", job_path_, "--address",
                                     cluster_.address()};
    if (i == job_.workers && job_.slow_factor > 1) {
      args.insert(args.end(),
                  {"--slow-factor", absl::StrCat(job_.slow_factor)});
    }
    PARAMO_ASSIGN_OR_RETURN(
        auto worker,
        workplace_.Start(name, "paramo-worker", args,
                         absl::StrCat(cluster_.dir(), "/log/", name, ".log")));
    absl::StrAppend(&pids, "  ", name, " (pid ", worker->pid(), ")");
    workers_.push_back(std::move(worker));
    noted_.push_back(false);
  }
  printer_.Note(
      absl::StrCat("started", pids, "; kill one, and the job goes on"));
  return absl::OkStatus();
}

bool DemoRun::WatchWorkers() {
  bool running = false;
  for (size_t i = 0; i < workers_.size(); ++i) {
    Process& worker = *workers_[i];
    if (worker.Running()) {
      running = true;
    } else if (!noted_[i]) {
      noted_[i] = true;
      if (!worker.succeeded()) {
        printer_.Note(absl::StrCat(worker.name(), " (pid ", worker.pid(),
                                   ") ended: ", worker.Outcome()));
      }
    }
  }
  return running;
}

absl::Status DemoRun::CheckSomeWorkerFinished() {
  for (const auto& worker : workers_) {
    if (worker->succeeded()) return absl::OkStatus();
  }
  return Annotate(EndedError(*workers_.back()), "no worker finished");
}

absl::Status DemoRun::Train(const std::string& job_file, DemoResult& result) {
  PARAMO_ASSIGN_OR_RETURN(auto witness, Witness::Start(cluster_.address()));
  const absl::Time start = absl::Now();
  PARAMO_RETURN_IF_ERROR(StartWorkers(job_file));
  double last_json = -kJsonLinesEvery;
  absl::Time last_staleness = absl::InfinitePast();
  Staleness staleness;
  while (WatchWorkers()) {
    PARAMO_RETURN_IF_ERROR(cluster_.CheckAlive());
    if (interrupt_.Wait(kAskEvery)) return Interrupted();
    auto report = control_->DescribeJob(job_.name, kAskWithin);
    if (!report.ok()) {
      // The first worker creates the job; until then there is none.
      if (absl::IsNotFound(report.status())) continue;
      PARAMO_RETURN_IF_ERROR(cluster_.CheckAlive());
      return Annotate(report.status(), "asking for the job");
    }
    ProgressView view = meter_.Observe(**report, absl::Now() - start);
    if (absl::Now() - last_staleness >= kStalenessEvery) {
      last_staleness = absl::Now();
      staleness = AskStaleness(*control_, job_.name, kAskWithin);
    }
    view.staleness = staleness;
    if (view.live_workers == 0 || view.epoch == 0) continue;  // joining
    printer_.Show(view);
    if (kill_one_ && view.epoch >= kKillAt * view.epochs) {
      kill_one_ = false;
      PARAMO_RETURN_IF_ERROR(KillServer(result));
    }
    if (view.seconds - last_json >= kJsonLinesEvery) {
      last_json = view.seconds;
      json_(ProgressJson(view));
    }
  }
  PARAMO_RETURN_IF_ERROR(cluster_.CheckAlive());
  PARAMO_RETURN_IF_ERROR(CheckSomeWorkerFinished());
  const absl::Duration took = absl::Now() - start;
  PARAMO_ASSIGN_OR_RETURN(result.witness, witness->Finish());
  return Finish(took, result);
}

absl::Status DemoRun::KillServer(DemoResult& result) {
  result.killed = cluster_.KillServer();
  const absl::Time killed = absl::Now();
  printer_.Note(absl::StrCat("killed ", result.killed, " with signal 9"));
  while (absl::Now() - killed < kRecoverWithin) {
    if (interrupt_.Wait(kRecoverPoll)) return Interrupted();
    auto state = control_->State(kAskWithin);
    if (!state.ok()) continue;
    uint32_t dead = 0;
    for (const v1::Server& server : (*state)->servers()) {
      if (server.address() == cluster_.killed_address()) dead = server.id();
    }
    bool led = true;
    for (const v1::Shard& shard : (*state)->shards()) {
      led = led && !shard.fencing() && shard.primary() != dead;
    }
    if (!led) continue;
    result.recovery_ms = absl::ToDoubleMilliseconds(absl::Now() - killed);
    printer_.Note(absl::StrFormat(
        "other servers lead its shards after %.0f ms; the training goes on "
        "where it was",
        result.recovery_ms));
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(
      absl::StrCat("the shards of ", result.killed, " have no primary ",
                   absl::FormatDuration(kRecoverWithin), " after its death"));
}

absl::Status DemoRun::Finish(absl::Duration took, DemoResult& result) {
  PARAMO_ASSIGN_OR_RETURN(auto report,
                          control_->DescribeJob(job_.name, kAskWithin));
  PARAMO_ASSIGN_OR_RETURN(auto state, control_->State(kAskWithin));
  ProgressView view = meter_.Observe(*report, took);
  view.staleness = AskStaleness(*control_, job_.name, kAskWithin);
  printer_.Finish(view);
  result.seconds = absl::ToDoubleSeconds(took);
  result.examples_per_second =
      static_cast<double>(report->examples()) / result.seconds;
  result.metric_name = report->metric_name();
  result.metric = report->metric();
  result.pushes = report->pushes();
  result.pulls = report->pulls();
  result.push_bytes = report->push_bytes();
  result.pull_bytes = report->pull_bytes();
  result.deaths = report->deaths();
  std::map<uint32_t, std::string> names;
  for (const v1::Server& server : state->servers()) {
    names[server.id()] = cluster_.NameOf(server.address());
  }
  for (const v1::Shard& shard : state->shards()) {
    ++result.shards_per_server[names[shard.primary()]];
  }
  if (report->state().phase() != v1::JOB_PHASE_DONE) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the workers ended but the job is not done: ",
        report->error().empty() ? v1::JobPhase_Name(report->state().phase())
                                : report->error()));
  }
  if (result.metric_name.empty() || report->metric_epoch() < job_.epochs) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the final model was not evaluated: the last metric is of epoch ",
        report->metric_epoch(), " of ", job_.epochs));
  }
  return absl::OkStatus();
}

absl::Status DemoRun::Reference(DemoResult& result) {
  printer_.Note("training the same model in one process, to compare");
  const std::string answer =
      absl::StrCat(workplace_.directory(), "/reference.json");
  PARAMO_ASSIGN_OR_RETURN(
      auto reference,
      workplace_.Start("reference", "paramo-worker",
                       {"--reference", "--job", job_path_, "--json", answer},
                       absl::StrCat(cluster_.dir(), "/log/reference.log")));
  while (reference->Running()) {
    if (interrupt_.Wait(kAskEvery)) return Interrupted();
  }
  workplace_.Forget(*reference);
  if (!reference->succeeded()) return EndedError(*reference);
  PARAMO_ASSIGN_OR_RETURN(result.reference_metric, ReadMetric(answer));
  return absl::OkStatus();
}

}  // namespace paramo::cli
