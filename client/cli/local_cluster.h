// A whole cluster on this machine: a coordinator and servers as child
// processes on loopback ports that the kernel chooses.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/interrupt.h"
#include "client/cli/janitor.h"
#include "client/cli/output.h"
#include "client/cli/process.h"

namespace paramo::cli {

struct LocalClusterOptions {
  uint32_t servers = 3;
  uint32_t replicas = 0;  // 0: two, or one on one server
  uint32_t shards = 64;
  // Keeps data and logs here; empty: in the workplace, gone at the end.
  std::string dir;
  std::string log_level = "info";
  std::vector<std::string> server_args;  // more flags, for every server

  // INVALID_ARGUMENT unless `shards` is a power of two and there is a server
  // for each replica.
  absl::Status Check() const;
  uint32_t Replicas() const;  // of every shard
};

// Threads: one.
class LocalCluster {
 public:
  // Returns once every server is up and every shard is placed. Borrows both.
  // Errors: CANCELLED            interrupted
  //         FAILED_PRECONDITION  a process ended, with the tail of its log
  //         DEADLINE_EXCEEDED    not ready in time, with the tail of a log
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(
      const LocalClusterOptions& options, Workplace& workplace,
      Interrupt& interrupt);
  // Stops the servers, then the coordinator.
  ~LocalCluster();

  // host:port of the coordinator: what PARAMO_ADDRESS takes.
  const std::string& address() const { return members_.front().address; }
  const std::string& dir() const { return dir_; }
  // process, pid, address, metrics, log
  Records Processes() const;
  std::vector<pid_t> Pids() const;
  // FAILED_PRECONDITION with a log tail when one of them has ended, but for the
  // server that KillServer killed.
  absl::Status CheckAlive();

  // Of the process that serves there, "server-1"; the server's id is the same.
  std::string NameOf(const std::string& address) const;

  // kill -9 of a server; returns its name and pid.
  std::string KillServer();
  // Of that server; empty before.
  const std::string& killed_address() const { return killed_address_; }

 private:
  struct Member {
    std::unique_ptr<Process> process;
    std::string ready_file;
    std::string address;  // empty until ready
    std::string metrics;
  };

  LocalCluster(std::string dir, Workplace& workplace, Interrupt& interrupt);
  absl::Status StartMember(const std::string& name, const std::string& binary,
                           std::vector<std::string> args);
  absl::Status WaitUntilReady();
  absl::Status WaitUntilPlaced(uint32_t servers);

  const std::string dir_;
  Workplace& workplace_;
  Interrupt& interrupt_;
  std::vector<Member> members_;  // the coordinator first
  std::string killed_address_;
};

// The `key=value` lines of a ready file; empty while it does not exist.
std::map<std::string, std::string> ReadReadyFile(const std::string& path);

// FAILED_PRECONDITION "NAME ended by itself (OUTCOME); the end of its log ..."
absl::Status EndedError(const Process& process);

}  // namespace paramo::cli
