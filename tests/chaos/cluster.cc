#include "tests/chaos/cluster.h"

#include <signal.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/local_cluster.h"
#include "common/base/status.h"
#include "tests/chaos/socket_owner.h"

namespace paramo::chaos {
namespace {

constexpr absl::Duration kReadyWithin = absl::Seconds(60);
constexpr absl::Duration kPollEvery = absl::Milliseconds(10);
constexpr absl::Duration kStopGrace = absl::Seconds(15);
constexpr int kCoordinatorHost = 100;  // and the numbers behind it
constexpr int kCoordinatorsOnEtcd = 2;
constexpr int kEtcdMembers = 3;

std::string Ip(int network, int host) {
  return absl::StrCat("127.0.", network, ".", host);
}
int HostOf(int server) { return server + 1; }

// ip:port that nobody listens on. A server tells the address of its proxy, so
// it cannot be asked which port the kernel gave it.
absl::StatusOr<std::string> FreeAddress(const std::string& ip) {
  PARAMO_ASSIGN_OR_RETURN(auto found, Proxy::Start({ip}));
  return found->address();
}

void Append(std::vector<std::string>& to, std::vector<std::string> more) {
  for (std::string& arg : more) to.push_back(std::move(arg));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChaosCluster>> ChaosCluster::Start(
    const ClusterOptions& options, cli::Workplace& workplace,
    Isolation& isolation, cli::Interrupt& interrupt) {
  std::unique_ptr<ChaosCluster> cluster(
      new ChaosCluster(options, workplace, interrupt));
  if (options.etcd) PARAMO_RETURN_IF_ERROR(cluster->StartEtcd());
  PARAMO_RETURN_IF_ERROR(cluster->StartCoordinators());
  for (int i = 0; i < options.servers; ++i) {
    PARAMO_RETURN_IF_ERROR(cluster->PrepareServer(i, isolation));
    PARAMO_RETURN_IF_ERROR(cluster->Launch(i));
  }
  for (Node& server : cluster->servers_) {
    PARAMO_RETURN_IF_ERROR(cluster->Await(server));
  }
  PARAMO_RETURN_IF_ERROR(cluster->WaitUntilWhole(kReadyWithin));
  return cluster;
}

ChaosCluster::~ChaosCluster() {
  StopServers();
  StopAll(coordinators_);
  for (int i = 0; i < etcd_members(); ++i) KillEtcd(i);
}

void ChaosCluster::StopAll(std::vector<Node>& nodes) {
  std::vector<cli::Process*> running;
  for (Node& node : nodes) {
    if (node.process == nullptr || !node.process->Running()) continue;
    node.process->Signal(SIGCONT);
    running.push_back(node.process.get());
  }
  cli::StopAll(running, kStopGrace);
  for (cli::Process* process : running) workplace_.Forget(*process);
}

std::string ChaosCluster::address() const {
  return absl::StrJoin(coordinators_, ",",
                       [](std::string* out, const Node& node) {
                         absl::StrAppend(out, node.front->address());
                       });
}

std::string ChaosCluster::data_dir(int node) const {
  return absl::StrCat(workplace_.directory(), "/", At(node).name);
}

std::vector<std::string> ChaosCluster::log_dirs() const {
  std::vector<std::string> dirs;
  for (int i = 0; i < servers(); ++i) dirs.push_back(data_dir(i) + "/log");
  return dirs;
}

absl::Status ChaosCluster::StartEtcd() {
  PARAMO_ASSIGN_OR_RETURN(
      etcd_, test::EtcdMembers::Start(kEtcdMembers, workplace_.directory()));
  for (int i = 0; i < etcd_members(); ++i) workplace_.Adopt(etcd_->process(i));
  return absl::OkStatus();
}

void ChaosCluster::KillEtcd(int member) {
  etcd_->process(member).Stop(absl::ZeroDuration());
  workplace_.Forget(etcd_->process(member));
}

absl::Status ChaosCluster::RestartEtcd(int member) {
  PARAMO_RETURN_IF_ERROR(etcd_->Restart(member));
  workplace_.Adopt(etcd_->process(member));
  return absl::OkStatus();
}

absl::Status ChaosCluster::StartCoordinators() {
  coordinators_.resize(etcd_ == nullptr ? 1 : kCoordinatorsOnEtcd);
  const int count = static_cast<int>(coordinators_.size());
  for (int node = -1; node >= -count; --node) {
    PARAMO_RETURN_IF_ERROR(PrepareCoordinator(node));
    PARAMO_RETURN_IF_ERROR(Launch(node));
  }
  for (Node& node : coordinators_) PARAMO_RETURN_IF_ERROR(Await(node));
  return absl::OkStatus();
}

absl::Status ChaosCluster::PrepareCoordinator(int node) {
  const int number = -node;
  const int host = kCoordinatorHost - 1 + number;
  Node& coordinator = At(node);
  coordinator.name = absl::StrCat("coordinator-", number);
  coordinator.binary = "paramo-coordinator";
  coordinator.ip = Ip(1, host);
  coordinator.args = {"--servers",  absl::StrCat(options_.servers),
                      "--shards",   absl::StrCat(options_.shards),
                      "--replicas", absl::StrCat(options_.replicas)};
  Append(coordinator.args,
         etcd_ == nullptr
             ? std::vector<std::string>{"--data-dir", data_dir(node)}
             : std::vector<std::string>{"--store", etcd_->url(),
                                        "--cluster-name", "chaos"});
  PARAMO_ASSIGN_OR_RETURN(
      coordinator.front,
      Proxy::Start({Ip(3, host), Ip(4, host), options_.seed}));
  return absl::OkStatus();
}

absl::Status ChaosCluster::PrepareServer(int server, Isolation& isolation) {
  const int host = HostOf(server);
  const uint64_t seed = options_.seed + 10 * static_cast<uint64_t>(host);
  Node node;
  node.name = absl::StrCat("server-", host);
  node.binary = "paramo-server";
  node.ip = Ip(1, host);
  ProxyOptions front{Ip(2, host), Ip(4, kCoordinatorHost), seed};
  // Peers reach it here too, and a server that is cut off must not.
  front.source_of = [this](uint16_t from, uint16_t to) {
    return SourceOf(from, to);
  };
  PARAMO_ASSIGN_OR_RETURN(node.front, Proxy::Start(std::move(front)));
  std::vector<std::string> coordinators;
  for (const Node& coordinator : coordinators_) {
    const uint64_t number = node.control.size() + 1;
    PARAMO_ASSIGN_OR_RETURN(
        auto proxy, Proxy::Start({Ip(3, host), Ip(4, host), seed + number}));
    proxy->SetTarget(coordinator.address);
    coordinators.push_back(proxy->address());
    node.control.push_back(std::move(proxy));
  }
  servers_.push_back(std::move(node));
  Node& made = servers_.back();
  made.args = {"--coordinator", absl::StrJoin(coordinators, ","), "--advertise",
               made.front->address(), "--metrics-listen", made.ip + ":0",
               "--data-dir", data_dir(server),
               // Often, so that faults meet what is written to the store.
               "--flush-interval", "2s", "--flush-log-bytes", "8MiB"};
  if (options_.keep_log) made.args.push_back("--keep-log");
  if (options_.disk_bytes == 0) return absl::OkStatus();
  std::filesystem::create_directories(data_dir(server));
  return isolation.Mount(data_dir(server), options_.disk_bytes);
}

absl::Status ChaosCluster::Launch(int number) {
  Node& node = At(number);
  const std::string base = data_dir(number);
  node.ready_file = base + ".ready";
  std::filesystem::remove(node.ready_file);
  PARAMO_ASSIGN_OR_RETURN(const std::string address, FreeAddress(node.ip));
  std::vector<std::string> args = {"--listen", address, "--ready-file",
                                   node.ready_file};
  Append(args, node.args);
  PointAt(number, address);
  PARAMO_ASSIGN_OR_RETURN(
      node.process,
      workplace_.Start(node.name, node.binary, std::move(args), base + ".log"));
  if (IsCoordinator(number)) return absl::OkStatus();
  MutexLock lock(mu_);
  pids_.resize(servers_.size());
  pids_[static_cast<size_t>(number)] = node.process->pid();
  return absl::OkStatus();
}

std::string ChaosCluster::SourceOf(uint16_t from, uint16_t to) {
  std::vector<pid_t> pids;
  {
    MutexLock lock(mu_);
    pids = pids_;
  }
  const pid_t owner = OwnerOfConnection(from, to, pids);
  for (size_t i = 0; i < pids.size(); ++i) {
    if (owner != 0 && pids[i] == owner) {
      return Ip(4, HostOf(static_cast<int>(i)));
    }
  }
  return "";
}

void ChaosCluster::HoldAll(int server) {
  servers_[server].front->Inject(ProxyFault::kHold);
  for (auto& proxy : servers_[server].control) {
    proxy->Inject(ProxyFault::kHold);
  }
  for (Node& other : servers_) other.front->HoldSource(Ip(4, HostOf(server)));
}

void ChaosCluster::ReleaseAll(int server) {
  servers_[server].front->Heal();
  for (auto& proxy : servers_[server].control) proxy->Heal();
  for (Node& other : servers_) other.front->HoldSource("");
}

absl::Status ChaosCluster::Await(Node& node) {
  const absl::Time deadline = absl::Now() + kReadyWithin;
  while (!std::filesystem::exists(node.ready_file)) {
    if (!node.process->Running()) return cli::EndedError(*node.process);
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(node.name, " is not ready; the end of its log:\n",
                       cli::LogTail(node.process->log_file())));
    }
    absl::SleepFor(kPollEvery);
  }
  return absl::OkStatus();
}

void ChaosCluster::PointAt(int number, const std::string& address) {
  Node& node = At(number);
  node.address = address;
  node.front->SetTarget(address);
  if (!IsCoordinator(number)) return;
  const size_t index = static_cast<size_t>(-1 - number);
  for (Node& server : servers_) server.control[index]->SetTarget(address);
  node.ask =
      std::make_unique<client::Control>(std::vector<std::string>{address});
}

absl::Status ChaosCluster::Restart(int node) {
  workplace_.Forget(*At(node).process);
  PARAMO_RETURN_IF_ERROR(Launch(node));
  return Await(At(node));
}

std::vector<std::string> ChaosCluster::AllIps(int server) const {
  return {Ip(1, HostOf(server)), Ip(4, HostOf(server))};
}

std::vector<std::string> ChaosCluster::DataIps(int server) const {
  return {Ip(1, HostOf(server))};
}

}  // namespace paramo::chaos
