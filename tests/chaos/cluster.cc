#include "tests/chaos/cluster.h"

#include <signal.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/local_cluster.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "tests/chaos/socket_owner.h"

namespace paramo::chaos {
namespace {

constexpr absl::Duration kReadyWithin = absl::Seconds(60);
constexpr absl::Duration kAskWithin = absl::Seconds(2);
constexpr absl::Duration kPollEvery = absl::Milliseconds(10);
constexpr absl::Duration kStopGrace = absl::Seconds(15);
constexpr int kCoordinatorHost = 100;

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
    Isolation& isolation) {
  std::unique_ptr<ChaosCluster> cluster(new ChaosCluster(options, workplace));
  PARAMO_RETURN_IF_ERROR(cluster->PrepareCoordinator());
  PARAMO_RETURN_IF_ERROR(cluster->Launch(cluster->coordinator_));
  PARAMO_RETURN_IF_ERROR(cluster->Await(cluster->coordinator_));
  for (int i = 0; i < options.servers; ++i) {
    PARAMO_RETURN_IF_ERROR(cluster->PrepareServer(i, isolation));
    PARAMO_RETURN_IF_ERROR(cluster->Launch(cluster->servers_[i]));
  }
  for (Node& server : cluster->servers_) {
    PARAMO_RETURN_IF_ERROR(cluster->Await(server));
  }
  PARAMO_RETURN_IF_ERROR(cluster->WaitUntilWhole(kReadyWithin));
  return cluster;
}

ChaosCluster::~ChaosCluster() {
  std::vector<cli::Process*> running;
  for (Node& server : servers_) {
    if (server.process == nullptr) continue;
    server.process->Signal(SIGCONT);
    running.push_back(server.process.get());
  }
  cli::StopAll(running, kStopGrace);
  if (coordinator_.process != nullptr) coordinator_.process->Stop(kStopGrace);
  for (cli::Process* process : running) workplace_.Forget(*process);
  if (coordinator_.process) workplace_.Forget(*coordinator_.process);
}

std::string ChaosCluster::data_dir(int node) const {
  const Node& of = node == kCoordinator ? coordinator_ : servers_[node];
  return absl::StrCat(workplace_.directory(), "/", of.name);
}

absl::Status ChaosCluster::PrepareCoordinator() {
  coordinator_.name = "coordinator";
  coordinator_.binary = "paramo-coordinator";
  coordinator_.ip = Ip(1, kCoordinatorHost);
  coordinator_.args = {"--servers", absl::StrCat(options_.servers), "--shards",
                       absl::StrCat(options_.shards)};
  Append(coordinator_.args, {"--replicas", absl::StrCat(options_.replicas)});
  PARAMO_ASSIGN_OR_RETURN(
      client_control_, Proxy::Start({Ip(3, kCoordinatorHost),
                                     Ip(4, kCoordinatorHost), options_.seed}));
  return absl::OkStatus();
}

absl::Status ChaosCluster::PrepareServer(int server, Isolation& isolation) {
  const int host = HostOf(server);
  const uint64_t seed = options_.seed + 10 * static_cast<uint64_t>(host);
  Node node;
  node.name = absl::StrCat("server-", host);
  node.binary = "paramo-server";
  node.ip = Ip(1, host);
  ProxyOptions data{Ip(2, host), Ip(4, kCoordinatorHost), seed};
  // Peers reach it here too, and a server that is cut off must not.
  data.source_of = [this](uint16_t from, uint16_t to) {
    return SourceOf(from, to);
  };
  PARAMO_ASSIGN_OR_RETURN(node.data, Proxy::Start(std::move(data)));
  PARAMO_ASSIGN_OR_RETURN(node.control,
                          Proxy::Start({Ip(3, host), Ip(4, host), seed + 1}));
  node.args = {"--coordinator",      node.control->address(), "--advertise",
               node.data->address(), "--metrics-listen",      node.ip + ":0"};
  node.control->SetTarget(coordinator_.address);
  servers_.push_back(std::move(node));
  if (options_.disk_bytes == 0) return absl::OkStatus();
  std::filesystem::create_directories(data_dir(server));
  return isolation.Mount(data_dir(server), options_.disk_bytes);
}

absl::Status ChaosCluster::Launch(Node& node) {
  const std::string base = absl::StrCat(workplace_.directory(), "/", node.name);
  node.ready_file = base + ".ready";
  std::filesystem::remove(node.ready_file);
  PARAMO_ASSIGN_OR_RETURN(const std::string address, FreeAddress(node.ip));
  std::vector<std::string> args = {"--listen", address,        "--data-dir",
                                   base,       "--ready-file", node.ready_file};
  Append(args, node.args);
  PointAt(node, address);
  PARAMO_ASSIGN_OR_RETURN(
      node.process,
      workplace_.Start(node.name, node.binary, std::move(args), base + ".log"));
  if (&node == &coordinator_) return absl::OkStatus();
  MutexLock lock(mu_);
  pids_.resize(servers_.size());
  pids_[static_cast<size_t>(&node - servers_.data())] = node.process->pid();
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
  servers_[server].data->Inject(ProxyFault::kHold);
  servers_[server].control->Inject(ProxyFault::kHold);
  for (Node& other : servers_) other.data->HoldSource(Ip(4, HostOf(server)));
}

void ChaosCluster::ReleaseAll(int server) {
  servers_[server].data->Heal();
  servers_[server].control->Heal();
  for (Node& other : servers_) other.data->HoldSource("");
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

void ChaosCluster::PointAt(Node& node, const std::string& address) {
  node.address = address;
  if (&node != &coordinator_) {
    node.data->SetTarget(address);
    return;
  }
  client_control_->SetTarget(address);
  for (Node& server : servers_) server.control->SetTarget(address);
  control_ =
      std::make_unique<client::Control>(std::vector<std::string>{address});
}

absl::Status ChaosCluster::Restart(int node) {
  workplace_.Forget(*At(node).process);
  PARAMO_RETURN_IF_ERROR(Launch(At(node)));
  return Await(At(node));
}

std::vector<std::string> ChaosCluster::AllIps(int server) const {
  return {Ip(1, HostOf(server)), Ip(4, HostOf(server))};
}

std::vector<std::string> ChaosCluster::DataIps(int server) const {
  return {Ip(1, HostOf(server))};
}

ClusterShape ChaosCluster::Shape() {
  ClusterShape shape;
  auto state = control_->State(kAskWithin);
  if (!state.ok()) return shape;
  int up = 0;
  std::vector<std::pair<uint32_t, int>> index_of_id;
  for (const v1::Server& server : (*state)->servers()) {
    up += server.status() == v1::SERVER_STATUS_UP ? 1 : 0;
    for (int i = 0; i < servers(); ++i) {
      if (server.address() != servers_[i].data->address()) continue;
      index_of_id.emplace_back(server.id(), i);
    }
  }
  bool served = (*state)->shards_size() > 0;
  for (const v1::Shard& shard : (*state)->shards()) {
    int primary = -1;
    for (const auto& [id, i] : index_of_id) {
      if (id == shard.primary()) primary = i;
    }
    served &= primary >= 0;
    served &=
        options_.replicas == 1 || shard.in_sync_size() >= options_.replicas;
    shape.server_of_shard.push_back(primary);
  }
  shape.whole = served && up >= servers();
  return shape;
}

absl::Status ChaosCluster::WaitUntilWhole(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!Shape().whole) {
    PARAMO_RETURN_IF_ERROR(CheckAlive());
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          "the cluster is not whole after ", absl::FormatDuration(timeout),
          "; the end of the coordinator's log:\n",
          cli::LogTail(coordinator_.process->log_file())));
    }
    absl::SleepFor(kPollEvery);
  }
  return absl::OkStatus();
}

absl::Status ChaosCluster::CheckAlive() {
  for (int node = kCoordinator; node < servers(); ++node) {
    if (!At(node).process->Running()) return cli::EndedError(process(node));
  }
  return absl::OkStatus();
}

uint64_t ChaosCluster::CountDivergent() {
  uint64_t divergent = 0;
  for (const Node& node : servers_) {
    std::ifstream log(node.process->log_file());
    for (std::string line; std::getline(log, line);) {
      divergent += absl::StrContains(line, "differs from its primary") ? 1 : 0;
    }
  }
  return divergent;
}

}  // namespace paramo::chaos
