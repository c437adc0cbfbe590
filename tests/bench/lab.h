// The processes that a bench measures: clusters, and the other end of floors.
// All are children of this one and end with it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/interrupt.h"
#include "client/cli/janitor.h"
#include "client/cli/local_cluster.h"
#include "paramo/cluster.h"
#include "tests/bench/drive.h"
#include "tests/bench/echo.h"
#include "tests/bench/plan.h"

namespace paramo::bench {

// How a client's big messages go.
enum class Lane { kGrpc, kShm };

// Servers, and this process as their client. Stops them when destroyed.
class BenchCluster {
 public:
  static absl::StatusOr<std::unique_ptr<BenchCluster>> Start(
      cli::LocalClusterOptions options, Lane lane, cli::Interrupt& interrupt);

  Cluster& client() { return *client_; }
  // One more client, with connections and a session of its own.
  absl::StatusOr<std::unique_ptr<Cluster>> Connect() const;
  const std::vector<pid_t>& pids() const { return pids_; }  // ours too

 private:
  std::unique_ptr<cli::Workplace> workplace_;
  std::unique_ptr<cli::LocalCluster> servers_;
  std::unique_ptr<Cluster> client_;
  std::vector<pid_t> pids_;
  Lane lane_ = Lane::kGrpc;
};

// Threads: one. Outlives every subject made with it.
class Lab {
 public:
  struct Options {
    absl::Duration wait;  // for a quiet machine, in all
    bool settles = true;  // Settle() does something
  };
  Lab(const Options& options, cli::Interrupt& interrupt)
      : wait_(options.wait), settles_(options.settles), interrupt_(interrupt) {}
  ~Lab();

  // Stays until the end.
  absl::StatusOr<BenchCluster*> StartCluster(uint32_t servers,
                                             uint32_t replicas = 1,
                                             Lane lane = Lane::kGrpc);
  absl::StatusOr<BenchCluster*> StartCluster(
      const cli::LocalClusterOptions& options, Lane lane = Lane::kGrpc);

  // A floor: `load.in_flight` requests of these sizes through an echo server
  // that all floors share.
  absl::StatusOr<Subject> Echo(Via via, const EchoSizes& sizes,
                               const Load& load, const Work& work);

  // The same directory for whatever must lie in a file. Gone at the end.
  absl::StatusOr<std::string> Directory();

  // Runs it once others leave the machine alone, or the wait for that is used
  // up. Says whether it was disturbed.
  absl::StatusOr<Sample> Run(const Subject& subject, absl::Duration time);

  absl::Duration wait_left() const { return wait_; }

  // Waits until our own processes are idle: servers write rows to the store
  // behind what pushed them.
  void Settle();

 private:
  absl::Status StartEcho();
  std::vector<pid_t> Children() const;

  absl::Duration wait_;  // left
  const bool settles_;
  cli::Interrupt& interrupt_;
  std::unique_ptr<cli::Workplace> workplace_;
  std::unique_ptr<cli::Process> echo_;
  EchoAddresses echo_addresses_;
  std::vector<std::unique_ptr<BenchCluster>> clusters_;
};

// What `pids` have used, for Drive.
std::function<double()> CpuOfAll(std::vector<pid_t> pids);

}  // namespace paramo::bench
