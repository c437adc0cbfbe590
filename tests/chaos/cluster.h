// The cluster under test: real processes, every link between them through a
// proxy.
//
//   clients --- data proxy i ------> server i     127.0.2.i -> 127.0.1.i
//   servers ---'
//   server i -- control proxy i ---> coordinator  127.0.3.i -> 127.0.1.100
//   clients --- control proxy 100 -> coordinator
//   coordinators ------------------> etcd         127.0.0.1
//
// Of several coordinators each has its own control proxies, on other ports, and
// the next address.
//
// What leaves the machine of server i is sent on from 127.0.4.i, so that a
// packet filter sees whose it is. Addresses of proxies never change: a server
// that starts again elsewhere is found at the same place.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/interrupt.h"
#include "client/cli/janitor.h"
#include "client/cli/process.h"
#include "client/core/control.h"
#include "common/base/mutex.h"
#include "tests/chaos/isolation.h"
#include "tests/chaos/proxy.h"
#include "tests/etcd/etcd_members.h"

namespace paramo::v1 {
class ClusterState;
}

namespace paramo::chaos {

struct ClusterOptions {
  int servers = 3;
  int replicas = 1;
  int shards = 16;
  uint64_t seed = 1;
  uint64_t disk_bytes = 0;  // of each server's own file system; 0: none
  // Two coordinators over three members of etcd; else one over its own store.
  bool etcd = false;
  bool keep_log = false;  // servers cut nothing of theirs
};

// What the cluster says about itself.
struct ClusterShape {
  // All servers up, all shards served by all their replicas, a coordinator
  // leads and so does a member of etcd, if there is any; and none is missing.
  bool whole = false;
  std::vector<int> server_of_shard;  // index of the primary; -1 none
};

// Threads: one.
class ChaosCluster {
 public:
  // Returns when every shard is served.
  // Errors: of a process that does not start, with its log's tail
  //         CANCELLED  by `interrupt`, which outlives the cluster
  static absl::StatusOr<std::unique_ptr<ChaosCluster>> Start(
      const ClusterOptions& options, cli::Workplace& workplace,
      Isolation& isolation, cli::Interrupt& interrupt);
  ~ChaosCluster();

  int servers() const { return options_.servers; }
  uint32_t shards() const { return static_cast<uint32_t>(options_.shards); }
  // Where clients find the cluster.
  std::string address() const;

  // Servers are nodes 0, 1, ..., coordinators -1, -2, ...
  static constexpr bool IsCoordinator(int node) { return node < 0; }
  // The node of the coordinator that leads, once one does.
  absl::StatusOr<int> LeadingCoordinator();
  cli::Process& process(int node) { return *At(node).process; }
  // Starts an ended one again, on the data it had. Returns when it serves.
  absl::Status Restart(int node);

  int etcd_members() const { return etcd_ == nullptr ? 0 : etcd_->size(); }
  void KillEtcd(int member);  // SIGKILL
  absl::Status RestartEtcd(int member);

  Proxy& data_proxy(int server) { return *servers_[server].front; }
  // Holds every link of a server, in the proxies.
  void HoldAll(int server);
  void ReleaseAll(int server);
  // The addresses of everything that server `server` sends and receives; and
  // those where it is asked.
  std::vector<std::string> AllIps(int server) const;
  std::vector<std::string> DataIps(int server) const;
  std::string data_dir(int node) const;

  // In order; the logs of all, as a start would find them, lie in log_dirs.
  void StopServers() { StopAll(servers_); }
  std::vector<std::string> log_dirs() const;

  ClusterShape Shape();
  // An interrupt leaves it ten seconds more. CANCELLED: it was not whole then.
  absl::Status WaitUntilWhole(absl::Duration timeout);
  // FAILED_PRECONDITION with a log's tail when a process has ended, unless it
  // is the one that may: that is started again, once.
  absl::Status CheckAlive();
  void MayEnd(std::optional<int> node) { may_end_ = node; }
  // Replicas that found themselves different from their primary: each compares
  // its checksum once a second and stops when they differ, and its server's log
  // says so. What differs in a run's last second may go unseen.
  uint64_t CountDivergent();

 private:
  struct Node {
    std::string name;
    std::string binary;
    std::string ip;
    std::string address;  // listens here
    std::string ready_file;
    std::vector<std::string> args;
    std::unique_ptr<cli::Process> process;
    std::unique_ptr<Proxy> front;  // others reach it here
    // Servers only: before each coordinator, in their order.
    std::vector<std::unique_ptr<Proxy>> control;
    // Coordinators only: past all proxies.
    std::unique_ptr<client::Control> ask;
  };

  ChaosCluster(const ClusterOptions& options, cli::Workplace& workplace,
               cli::Interrupt& interrupt)
      : options_(options), workplace_(workplace), interrupt_(interrupt) {}
  absl::Status NotWhole(absl::Duration timeout, bool interrupted) const;
  Node& At(int node) {
    return IsCoordinator(node) ? coordinators_[-1 - node] : servers_[node];
  }
  const Node& At(int node) const {
    return const_cast<ChaosCluster*>(this)->At(node);
  }
  void StopAll(std::vector<Node>& nodes);
  absl::Status StartEtcd();
  absl::Status StartCoordinators();
  absl::Status PrepareCoordinator(int node);
  absl::Status PrepareServer(int server, Isolation& isolation);
  absl::Status Launch(int node);
  absl::Status Await(Node& node);
  void PointAt(int node, const std::string& address);
  std::string SourceOf(uint16_t from, uint16_t to);
  // As the leader tells it, who is leader_ then; null when none leads.
  std::unique_ptr<v1::ClusterState> AskLeader();

  const ClusterOptions options_;
  cli::Workplace& workplace_;
  cli::Interrupt& interrupt_;
  Mutex mu_;  // outlives the proxies, which ask whose a connection is
  std::vector<pid_t> pids_ ABSL_GUARDED_BY(mu_);  // of servers
  std::unique_ptr<test::EtcdMembers> etcd_;       // null: none
  std::vector<Node> coordinators_;
  size_t leader_ = 0;  // the one that led when last asked: asked first
  std::vector<Node> servers_;
  std::optional<int> may_end_;
};

}  // namespace paramo::chaos
