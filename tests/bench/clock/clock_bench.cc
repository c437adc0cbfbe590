// What the end of a step costs: steps without rows, one after the other, from
// the C++ client to a running cluster. Each is one request per server with one
// empty section per shard. Clusters that differ in their shards only give the
// price of a section.
//
//   paramo dev --servers 3 --shards 64 &    then, with PARAMO_ADDRESS set:
//   clock_bench --pid 11,12,13              pids of the servers, for their CPU
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/config/config.h"
#include "paramo/job.h"

namespace paramo {
namespace {

struct Options {
  std::vector<std::string> address;
  std::string pids;
  int steps = 5000;
};

// User and system time of this process.
double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The same of others, from /proc: fields 14 and 15, counted from the name's
// closing parenthesis, which ends field 2.
double CpuSecondsOf(const std::string& pids) {
  double ticks = 0;
  for (absl::string_view pid : absl::StrSplit(pids, ',', absl::SkipEmpty())) {
    std::ifstream file("/proc/" + std::string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    ticks += user + system;
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

int Fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

int Run(const Options& options, Cluster& cluster, Job& job) {
  for (uint64_t clock = 0; clock < static_cast<uint64_t>(options.steps) * 3;) {
    const absl::Time start = absl::Now();
    const double own = OwnCpuSeconds();
    const double servers = CpuSecondsOf(options.pids);
    const ClusterStats before = cluster.stats();
    for (int i = 0; i < options.steps; ++i, ++clock) {
      const Result<PushAck> ack = job.Push({}, {.clock = clock});
      if (!ack.ok()) return Fail(ack.status());
    }
    const ClusterStats after = cluster.stats();
    const double per_step = 1e6 / options.steps;
    std::printf(
        "%.0f us a step: client %.0f us of CPU, servers %.0f; %.0f B sent, "
        "%.0f received\n",
        absl::ToDoubleSeconds(absl::Now() - start) * per_step,
        (OwnCpuSeconds() - own) * per_step,
        (CpuSecondsOf(options.pids) - servers) * per_step,
        static_cast<double>(after.bytes_sent - before.bytes_sent) /
            options.steps,
        static_cast<double>(after.bytes_received - before.bytes_received) /
            options.steps);
    std::fflush(stdout);
  }
  return 0;
}

int Main(int argc, char** argv) {
  Options options;
  Config config("clock_bench", "what the end of a step costs");
  config.Addresses("address", options.address, "the cluster");
  config.Text("pid", options.pids, "pids of the servers, comma-separated");
  config.Int("steps", options.steps, {1, 10'000'000}, "of each of three runs");
  if (auto status = config.ParseMain(argc, argv)) return *status;

  ConnectOptions connect;
  for (const std::string& address : options.address) {
    connect.addresses += (connect.addresses.empty() ? "" : ",") + address;
  }
  auto cluster = Cluster::Connect(connect);
  if (!cluster.ok()) return Fail(cluster.status());
  JobSpec spec;
  spec.name = "clock_bench-" + std::to_string(getpid());
  spec.sync = Sync::kAsync;
  spec.examples = 1;
  spec.batch = 1;
  auto created = (*cluster)->CreateJob(spec);
  if (!created.ok()) return Fail(created.status());
  auto job = Job::Join(**cluster, spec.name);
  if (!job.ok()) return Fail(job.status());
  return Run(options, **cluster, **job);
}

}  // namespace
}  // namespace paramo

int main(int argc, char** argv) { return paramo::Main(argc, argv); }
