#include "tests/integration/cluster/harness.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/local_cluster.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/data.pb.h"

namespace paramo::test {
namespace {

constexpr absl::Duration kReadyWithin = absl::Seconds(30);
constexpr absl::Duration kStopWithin = absl::Seconds(30);

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

// One number of /proc/PID/status, in bytes; 0 when the process is gone.
size_t StatusBytes(pid_t pid, const std::string& field) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field + ":", 0) != 0) continue;
    return std::strtoull(line.c_str() + field.size() + 1, nullptr, 10) << 10;
  }
  return 0;
}

// Whether every thread has stopped (state T, behind the name in parentheses).
bool Frozen(pid_t pid) {
  const std::string tasks = absl::StrCat("/proc/", pid, "/task");
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    const std::string stat = ReadWholeFile(task.path() / "stat");
    const size_t name_end = stat.rfind(") ");
    if (name_end == std::string::npos || stat[name_end + 2] != 'T') {
      return false;
    }
  }
  return true;
}

std::string LogFile(const std::string& dir, const std::string& name) {
  return absl::StrCat(dir, "/", name, ".log");
}

}  // namespace

bool WaitUntil(const std::function<bool()>& condition, absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

TempDir::TempDir() {
  char name[] = "/tmp/paramo-test-XXXXXX";
  if (mkdtemp(name) == nullptr) Die("cannot make a directory in /tmp");
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::Write(const std::string& name,
                           const std::string& bytes) const {
  const std::string path = absl::StrCat(path_, "/", name);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// ---- Processes --------------------------------------------------------------

namespace {

std::unique_ptr<cli::Process> MustStart(const cli::ProcessOptions& options) {
  auto process = cli::Process::Start(options);
  if (!process.ok()) Die(std::string(process.status().message()));
  return *std::move(process);
}

}  // namespace

std::unique_ptr<cli::Process> StartBinary(
    const std::string& name, const std::vector<std::string>& args,
    const std::string& log_file, const std::vector<std::string>& environment) {
  cli::ProcessOptions options;
  options.name = name;
  options.log_file = log_file;
  if (!environment.empty()) {
    options.argv = {"/usr/bin/env"};
    for (const std::string& entry : environment) options.argv.push_back(entry);
  }
  options.argv.push_back(absl::StrCat(PARAMO_BINARY_DIR, "/", name));
  for (const std::string& arg : args) options.argv.push_back(arg);
  return MustStart(options);
}

Ran RunBinary(const std::string& name, const std::vector<std::string>& args,
              const std::vector<std::string>& environment,
              absl::Duration within) {
  const TempDir dir;
  const std::string log = dir.path() + "/log";
  auto process = StartBinary(name, args, log, environment);
  const bool ended = process->WaitFor(within);
  if (!ended) process->Stop(absl::ZeroDuration());
  return {ended ? process->Outcome() : "did not end", ReadWholeFile(log)};
}

bool ProcessExists(pid_t pid) {
  const std::string stat = ReadWholeFile(absl::StrCat("/proc/", pid, "/stat"));
  const size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && name_end + 2 < stat.size() &&
         stat[name_end + 2] != 'Z';
}

size_t ResidentBytes(pid_t pid) { return StatusBytes(pid, "VmRSS"); }
size_t PeakResidentBytes(pid_t pid) { return StatusBytes(pid, "VmHWM"); }

void ForgetPeak(pid_t pid) {
  std::ofstream(absl::StrCat("/proc/", pid, "/clear_refs")) << "5";
}

// ---- Sections ---------------------------------------------------------------

v1::TableSpec CountingTable(const std::string& name, uint32_t dim) {
  v1::TableSpec spec;
  spec.set_name(name);
  spec.set_dim(dim);
  spec.mutable_rule()->set_name("sgd");
  (*spec.mutable_rule()->mutable_params())["lr"] = 1;
  return spec;
}

v1::Section SimpleSection(uint32_t table, const std::vector<uint64_t>& keys,
                          const std::vector<float>& values) {
  v1::Section section;
  section.set_table(table);
  section.set_keys(keys.data(), keys.size() * sizeof(uint64_t));
  if (!values.empty()) {
    section.set_values(values.data(), values.size() * sizeof(float));
  }
  return section;
}

std::vector<float> Floats(const std::string& values) {
  std::vector<float> floats(values.size() / sizeof(float));
  std::memcpy(floats.data(), values.data(), floats.size() * sizeof(float));
  return floats;
}

// ---- TestCluster ------------------------------------------------------------

TestCluster::TestCluster(ClusterOptions options)
    : options_(std::move(options)), servers_(options_.servers) {
  auto pipe = cli::Pipe::Make();
  if (!pipe.ok()) Die(std::string(pipe.status().message()));
  lifeline_ = *std::move(pipe);
  coordinator_.name = "coordinator";
  StartCoordinator();
  for (int i = 0; i < servers(); ++i) LaunchServer(i);
  for (Node& node : servers_) Await(node);
  WaitUntilUp();
}

TestCluster::~TestCluster() {
  // Killed: no test looks at what an orderly stop would write now.
  for (Node& node : servers_) node.process.reset();
  coordinator_.process.reset();
}

std::string TestCluster::data_dir(int server) const {
  return absl::StrCat(dir(), "/server-", server);
}

std::string TestCluster::log(int server) const {
  return ReadWholeFile(LogFile(dir(), servers_[server].name));
}

void TestCluster::Launch(Node& node, const std::string& binary,
                         std::vector<std::string> args) {
  const std::string ready = absl::StrCat(dir(), "/", node.name, ".ready");
  std::filesystem::remove(ready);
  for (const std::string& arg :
       {std::string("--data-dir"), absl::StrCat(dir(), "/", node.name),
        std::string("--metrics-listen"), std::string("127.0.0.1:0"),
        std::string("--ready-file"), ready, std::string("--parent-fd"),
        absl::StrCat(cli::kInheritedFd)}) {
    args.push_back(arg);
  }
  cli::ProcessOptions options;
  options.name = node.name;
  options.argv = {absl::StrCat(PARAMO_BINARY_DIR, "/", binary)};
  options.argv.insert(options.argv.end(), args.begin(), args.end());
  options.log_file = LogFile(dir(), node.name);
  options.inherited_fd = lifeline_.read.get();
  node.process = MustStart(options);
}

void TestCluster::Await(Node& node) {
  std::string address;
  const bool ready = WaitUntil(
      [&] {
        address = cli::ReadReadyFile(
            absl::StrCat(dir(), "/", node.name, ".ready"))["address"];
        return !address.empty() || !node.process->Running();
      },
      kReadyWithin);
  if (!ready || address.empty()) {
    Die(absl::StrCat(node.name, " is not ready (", node.process->Outcome(),
                     "); its log:\n",
                     ReadWholeFile(LogFile(dir(), node.name))));
  }
  node.peer = std::make_unique<Peer>(address);
}

void TestCluster::StartCoordinator() {
  const std::string address = coordinator_.peer == nullptr
                                  ? "127.0.0.1:0"
                                  : coordinator_.peer->address();
  std::vector<std::string> args = {
      "--listen",   address,
      "--servers",  absl::StrCat(servers()),
      "--replicas", absl::StrCat(options_.replicas),
      "--shards",   absl::StrCat(options_.shards)};
  args.insert(args.end(), options_.coordinator_args.begin(),
              options_.coordinator_args.end());
  Launch(coordinator_, "paramo-coordinator", std::move(args));
  Await(coordinator_);
}

void TestCluster::LaunchServer(int server) {
  Node& node = servers_[server];
  node.name = absl::StrCat("server-", server);
  std::vector<std::string> args = {"--listen", "127.0.0.1:0", "--coordinator",
                                   coordinator_.peer->address()};
  args.insert(args.end(), options_.server_args.begin(),
              options_.server_args.end());
  Launch(node, "paramo-server", std::move(args));
}

void TestCluster::StartServer(int server) {
  LaunchServer(server);
  Await(servers_[server]);
}

void TestCluster::WaitUntilUp() {
  const bool up = WaitUntil(
      [&] {
        auto state = coordinator().State();
        if (!state.ok() || state->shards_size() == 0) return false;
        int count = 0;
        for (const v1::Server& server : state->servers()) {
          bool same = false;
          for (const Node& node : servers_) {
            same |= node.peer->address() == server.address();
          }
          count += same && server.status() == v1::SERVER_STATUS_UP ? 1 : 0;
        }
        if (count != servers()) return false;
        // Placed, and taken over: each is served by somebody.
        int served = 0;
        for (int i = 0; i < servers(); ++i) {
          served += server(i).Stats().shards_size();
        }
        return served == state->shards_size();
      },
      kReadyWithin);
  if (!up) {
    Die(absl::StrCat("the cluster does not come up; the coordinator's log:\n",
                     ReadWholeFile(LogFile(dir(), "coordinator"))));
  }
}

std::unique_ptr<Cluster> TestCluster::Connect(std::string addresses) {
  ConnectOptions options;
  options.addresses =
      addresses.empty() ? coordinator().address() : std::move(addresses);
  auto cluster = Cluster::Connect(std::move(options));
  if (!cluster.ok()) Die(cluster.status().ToString());
  return *std::move(cluster);
}

void TestCluster::Signal(int server, int signal) {
  servers_[server].process->Signal(signal);
  if (signal != SIGSTOP) return;
  // Until one thread has taken the signal, the others go on.
  if (!WaitUntil([&] { return Frozen(pid(server)); })) Die("not stopped");
}

std::string TestCluster::StopServer(int server, int signal) {
  Signal(server, signal);
  if (!servers_[server].process->WaitFor(kStopWithin)) return "did not stop";
  return servers_[server].process->Outcome();
}

std::string TestCluster::StopCoordinator(int signal) {
  coordinator_.process->Signal(signal);
  if (!coordinator_.process->WaitFor(kStopWithin)) return "did not stop";
  return coordinator_.process->Outcome();
}

std::pair<uint64_t, uint64_t> TestCluster::Checksum(uint32_t table) const {
  std::pair<uint64_t, uint64_t> total = {0, 0};
  for (const Node& node : servers_) {
    auto sum = node.peer->Checksum(table);
    if (absl::IsNotFound(sum.status())) continue;  // it has just started
    if (!sum.ok()) Die(absl::StrCat("checksum: ", sum.status().message()));
    total.first += sum->rows();
    total.second += sum->sum();
  }
  return total;
}

uint64_t TestCluster::LsnSum() const {
  uint64_t sum = 0;
  for (const Node& node : servers_) {
    const v1::StatsReply stats = node.peer->Stats();
    for (const v1::ShardStats& shard : stats.shards()) sum += shard.lsn();
  }
  return sum;
}

}  // namespace paramo::test
