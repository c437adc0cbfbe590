// paramo-bench: finds the bench and runs it.
#include <signal.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/transport/tune.h"
#include "tests/bench/bench.h"
#include "tests/bench/report.h"

namespace paramo::bench {
namespace {

using cli::Args;

struct Entry {
  const char* name;
  const char* summary;
  const char* about;  // more of the menu: what is compared with what
  std::unique_ptr<Bench> (*make)();
};

constexpr Entry kBenches[] = {
    {"floors", "what the machine and gRPC give without Paramo",
     R"(
           memcpy, TCP, a unix socket and gRPC echo with Paramo's settings, at
           the sizes and windows of `wire`; adagrad alone on the rows of `rows`;
           a file appended to, without and with fdatasync.)",
     MakeFloors},
    {"wire", "dense push and pull, 4 KB to 16 MB",
     R"(
           A tensor pushed (sgd, `replicated`) and pulled whole, one server.
           Floors: gRPC echo and TCP.)",
     MakeWire},
    {"rows", "sparse push and pull; what a backup costs",
     R"(
           Random rows of a table by key: how many, their width, rule,
           durability, replicas and skew by flag. Floor: gRPC echo. Of a
           backup: the same pushes without one.)",
     MakeRowsBench},
    {"latency", "small requests one at a time, and at a fixed rate",
     R"(
           p50, p99 and p99.9 of 16 rows of 16 floats, from when a request was
           due. Floor: gRPC echo, asked in the same way.)",
     MakeLatency},
    {"overload", "what is still done when four times as much is asked",
     R"(
           Pushes of 256 rows from eight clients, at four times the rate that
           one with four in flight was just seen to reach. Floor: that rate.)",
     MakeOverload},
    {"store", "the log, its recovery, and rows written behind",
     R"(
           Floors: the same bytes appended to a file, synced as often; the same
           files read.)",
     MakeStore},
    {"scale", "more strands, more servers, more rows",
     R"(
           Tables of 10^5 to 10^7 rows (--rows-max: 10^8). Floor: the smallest
           of its kind.)",
     MakeScale},
};

constexpr char kAbout[] = R"(paramo bench: how fast this machine's Paramo is

Usage: paramo bench BENCH [FLAGS]

)";

constexpr char kReading[] = R"(
Every bench starts the servers it needs, as processes of their own, and is their
client. A case has a floor: what moves the same bytes, in messages of the same
sizes with as many in flight, and does nothing else. Case, floor, next case, its
floor, and so on, is a round; there are --rounds of them, so that a busy minute
hits both. A row shows

  value      the median over the rounds
  CPU        of all processes, clients and servers: s per GB, us per 1,000 rows,
             or us per request
  spread     (largest - smallest) / median
  of floor   the floor's median, and its CPU
  ratio      value / of floor
  target     what is asked of the ratio, and whether it is met

Before each run it waits until others leave the machine alone, but no longer
than --wait in all; a row half of whose runs were disturbed is marked noisy. The
exit status is 0 also when targets are missed. docs/benchmarks.md says how to
read the results, and has some.

Examples:
  paramo bench rows
  paramo bench rows --rows 256 --dim 16 --rule adam --keys zipf
  paramo bench all --json results.jsonl
)";

// Fewer than of a single bench: all together stay below 20 minutes.
constexpr int kRoundsOfAll = 3;

struct Flags {
  int rounds = 5;
  absl::Duration time = absl::Seconds(1);
  absl::Duration wait = absl::Seconds(30);
  std::string json;
  bool smoke = false;

  void AddTo(Config& config) {
    config.Int("rounds", rounds, {1, 1000}, "runs of each case and floor");
    config.Duration("time", time, {absl::Milliseconds(1), absl::Minutes(10)},
                    "of one run");
    config.Duration("wait", wait, {absl::ZeroDuration(), absl::Hours(1)},
                    "for a quiet machine, in all; what is longer is marked");
    config.Text("json", json, "write each row as a JSON object, one a line")
        .Unit("FILE");
    config.Switch("smoke", smoke,
                  "tiny sizes, to see that it works; figures mean nothing");
  }
};

std::string Help() {
  std::string out = kAbout;
  for (const Entry& entry : kBenches) {
    absl::StrAppendFormat(&out, "  %-8s %s%s\n", entry.name, entry.summary,
                          entry.about);
  }
  absl::StrAppend(&out, "  all      all of them, in less than 20 minutes\n",
                  "\n`paramo bench BENCH --help` lists its flags.\n", kReading);
  return out;
}

absl::Status RunOne(const Entry& entry, Bench& bench, Flags& flags,
                    cli::Interrupt& interrupt, std::ostream* json) {
  Lab lab({.wait = flags.wait, .settles = !flags.smoke}, interrupt);
  Plan plan;
  std::fprintf(stderr, "%s: preparing\n", entry.name);
  PARAMO_RETURN_IF_ERROR(bench.Prepare(lab, plan, flags.smoke));
  lab.Settle();
  Rounds rounds;
  rounds.count = flags.rounds;
  rounds.time = flags.time;
  rounds.begin = [&](int round) {
    std::fprintf(stderr, "%s: round %d of %d\n", entry.name, round + 1,
                 flags.rounds);
  };
  rounds.run = [&](const Subject& subject, absl::Duration time) {
    return lab.Run(subject, time);
  };
  PARAMO_ASSIGN_OR_RETURN(const std::vector<Row> rows, Measure(plan, rounds));
  flags.wait = lab.wait_left();
  cli::Print(
      absl::StrCat(entry.name, ": ", entry.summary, "\n\n", Table(rows), "\n"));
  if (json == nullptr) return absl::OkStatus();
  for (const Row& row : rows) *json << Json(entry.name, row) << "\n";
  if (*json << std::flush) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", flags.json));
}

int Run(const std::vector<const Entry*>& entries, const Args& args,
        const std::string& name) {
  Flags flags;
  std::vector<std::unique_ptr<Bench>> benches;
  Config config(absl::StrCat("paramo bench ", name),
                entries.size() == 1 ? entries[0]->summary : "all benches");
  if (entries.size() > 1) flags.rounds = kRoundsOfAll;
  flags.AddTo(config);
  for (const Entry* entry : entries) benches.push_back(entry->make());
  if (entries.size() == 1) benches[0]->Declare(config);
  config.Example(absl::StrCat("paramo bench ", name, " --json results.jsonl"));
  if (auto status = config.ParseMain(args)) return *status;

  cli::Interrupt interrupt;  // before any thread
  TuneProcess();
  std::ofstream json;
  if (!flags.json.empty()) {
    json.open(flags.json, std::ios::trunc);
    if (!json) {
      return cli::Fail(
          ErrnoStatus(errno, absl::StrCat("cannot write ", flags.json)));
    }
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const absl::Status status =
        RunOne(*entries[i], *benches[i], flags, interrupt,
               flags.json.empty() ? nullptr : &json);
    if (!status.ok()) return cli::Fail(Annotate(status, entries[i]->name));
  }
  return kExitOk;
}

int Main(const Args& args) {
  if (args.empty()) return std::fputs(Help().c_str(), stderr), kExitUsage;
  const Args rest(args.begin() + 1, args.end());
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    return cli::Print(Help()), kExitOk;
  }
  if (args[0] == "--parent-fd") return RunEchoServer(args);  // our child
  std::vector<const Entry*> entries;
  for (const Entry& entry : kBenches) {
    if (args[0] == "all" || args[0] == entry.name) entries.push_back(&entry);
  }
  if (!entries.empty()) return Run(entries, rest, args[0]);
  std::fprintf(stderr, "paramo bench: there is no bench `%s`\n\n%s",
               Printable(args[0], 64).c_str(), Help().c_str());
  return kExitUsage;
}

}  // namespace
}  // namespace paramo::bench

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  paramo::SetLog(paramo::LogLevel::kWarning, "paramo-bench");
  return paramo::bench::Main(
      paramo::cli::Args(argv + (argc > 0 ? 1 : 0), argv + argc));
}
