// `paramo doctor`: what this machine lacks, and how to mend it.
#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/demo_job.h"
#include "client/cli/doctor.h"
#include "client/cli/output.h"
#include "client/cli/process.h"
#include "client/core/control.h"
#include "common/base/cpu.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
// The demo's three servers, two workers and coordinator together use 1 GiB.
constexpr double kMemoryGiB = 2;
constexpr double kDiskGiB = 1;
// A connection per client, RocksDB's files, log segments.
constexpr rlim_t kOpenFiles = 4096;

Finding Processor() {
  const absl::Status status = CheckCpu();
  const std::string count =
      absl::StrCat(std::thread::hardware_concurrency(), " threads");
  if (status.ok())
    return {"processor", Verdict::kGood, count + ", AVX2, FMA", ""};
  return {"processor", Verdict::kBad, count, std::string(status.message())};
}

// Memory that may be used: the machine's, or the container's if that is less.
double AvailableGiB() {
  double bytes = 0;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string key, unit; meminfo >> key;) {
    double value = 0;
    meminfo >> value;
    std::getline(meminfo, unit);
    if (key == "MemAvailable:") bytes = value * 1024;
  }
  std::ifstream limit("/sys/fs/cgroup/memory.max");
  std::ifstream usage("/sys/fs/cgroup/memory.current");
  double most = 0;
  double used = 0;
  if (limit >> most && usage >> used) bytes = std::min(bytes, most - used);
  return bytes / kGiB;
}

Finding Memory() {
  const double gib = AvailableGiB();
  const std::string found = absl::StrFormat("%.1f GiB free", gib);
  if (gib >= kMemoryGiB) return {"memory", Verdict::kGood, found, ""};
  return {"memory", Verdict::kCare, found,
          "the demo wants 2 GiB; stop other programs or raise the limit"};
}

Finding Disk() {
  const char* base = std::getenv("TMPDIR");
  const std::string dir = base == nullptr || *base == '\0' ? "/tmp" : base;
  struct statvfs info {};
  if (::statvfs(dir.c_str(), &info) != 0 || ::access(dir.c_str(), W_OK) != 0) {
    return {"disk", Verdict::kBad, dir + " cannot be written",
            "set TMPDIR to a folder of yours"};
  }
  const double gib = static_cast<double>(info.f_bavail) *
                     static_cast<double>(info.f_frsize) / kGiB;
  const std::string found = absl::StrFormat("%.1f GiB free in %s", gib, dir);
  if (gib >= kDiskGiB) return {"disk", Verdict::kGood, found, ""};
  return {"disk", Verdict::kBad, found,
          "free 1 GiB or set TMPDIR to a folder with more room"};
}

Finding OpenFiles() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::string found = absl::StrCat("at most ", limit.rlim_cur);
  if (limit.rlim_cur >= kOpenFiles)
    return {"open files", Verdict::kGood, found, ""};
  return {"open files", Verdict::kCare, found,
          "enough for the demo; servers want `ulimit -n 65536`"};
}

Finding Ports() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool good =
      fd >= 0 &&
      ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::listen(fd, 1) == 0;
  if (fd >= 0) ::close(fd);
  if (good) return {"ports", Verdict::kGood, "can listen on 127.0.0.1", ""};
  return {"ports", Verdict::kBad, "cannot listen on 127.0.0.1",
          "bring the loopback interface up: ip link set lo up"};
}

Finding DataSet() {
  auto job = DemoJobFile(DemoJob());
  if (job.ok()) return {"data set", Verdict::kGood, "fashion-mnist", ""};
  return {"data set", Verdict::kCare, "fashion-mnist is missing",
          "apt-get install dataset-fashion-mnist (only the demo needs it)"};
}

Finding Binaries() {
  for (const char* name :
       {"paramo-coordinator", "paramo-server", "paramo-worker"}) {
    auto path = SiblingBinary(name);
    if (!path.ok()) {
      return {"binaries", Verdict::kBad, absl::StrCat(name, " is missing"),
              std::string(path.status().message())};
    }
  }
  return {"binaries", Verdict::kGood, "coordinator, server, worker", ""};
}

Finding WallClock() {
  timex state{};
  const bool synchronised = ::adjtimex(&state) != TIME_ERROR;
  if (absl::Now() <
      absl::FromCivil(absl::CivilYear(2024), absl::UTCTimeZone())) {
    return {"clock", Verdict::kCare, "in the past",
            "set the date; certificates and logs will be wrong"};
  }
  if (synchronised) return {"clock", Verdict::kGood, "synchronised", ""};
  return {"clock", Verdict::kCare, "not synchronised",
          "no harm to training; run chrony so that logs of machines line up"};
}

Finding ClusterAnswer(const ClusterFlags& flags) {
  if (flags.address.empty()) {
    return {"cluster", Verdict::kGood, "none named (PARAMO_ADDRESS)", ""};
  }
  client::Control control(flags.address);
  auto state = control.State(flags.timeout);
  if (!state.ok()) {
    return {"cluster", Verdict::kBad, "no answer from " + flags.Addresses(),
            std::string(state.status().message())};
  }
  return {"cluster", Verdict::kGood, flags.Addresses() + " answers", ""};
}

const char* Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "ok";
    case Verdict::kCare:
      return "care";
    case Verdict::kBad:
      return "BAD";
  }
  return "?";
}

}  // namespace

int RunDoctor(const Args& args) {
  ClusterFlags flags;
  std::vector<std::string> etcd;
  EtcdSecurityOptions etcd_security;
  flags.timeout = absl::Seconds(3);
  Config config("paramo doctor", "what this machine lacks, and how to mend it");
  config.Addresses("address", flags.address, "also ask this cluster");
  config.Addresses("etcd", etcd,
                   "also ask these members of the etcd that coordinators use");
  DeclareEtcdSecurity(config, etcd_security);
  config.Duration("timeout", flags.timeout, {absl::Milliseconds(1)},
                  "wait for each at most this long");
  AddOutput(config, flags.output);
  config.Example("paramo doctor");
  config.Example("paramo doctor --etcd 127.0.0.1:2379");
  if (auto status = config.ParseMain(args)) return *status;
  const auto security = ReadEtcdSecurity(etcd_security);
  if (!security.ok()) return Fail(security.status());
  bool bad = false;
  Records records({"check", "verdict", "found", "advice"});
  std::vector<Finding> findings = {
      Processor(), Memory(),  Disk(),      OpenFiles(),         Ports(),
      Binaries(),  DataSet(), WallClock(), ClusterAnswer(flags)};
  for (Finding& finding : AskEtcd(etcd, *security, flags.timeout)) {
    findings.push_back(std::move(finding));
  }
  for (const Finding& finding : findings) {
    bad |= finding.verdict == Verdict::kBad;
    records.Add(
        {finding.what, Name(finding.verdict), finding.found, finding.advice});
  }
  Print(flags.json() ? records.Json() + "\n" : records.Table());
  return bad ? kExitFailure : kExitOk;
}

}  // namespace paramo::cli
