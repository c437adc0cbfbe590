// Real processes for tests: a coordinator and servers on loopback ports that
// the kernel chooses, their services by generated code, and what /proc knows
// of them. Whatever a test leaves behind ends with the test's process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/process.h"
#include "paramo/cluster.h"

namespace paramo::v1 {
class AlterTableRequest;
class ChecksumReply;
class ClusterState;
class JobSpec;
class OpenSessionReply;
class Reply;
class Request;
class Section;
class StatsReply;
class Table;
class TableSpec;
}  // namespace paramo::v1

namespace paramo::test {

// Polls until it holds; false when it does not within `timeout`.
bool WaitUntil(const std::function<bool()>& condition,
               absl::Duration timeout = absl::Seconds(20));

// A directory under /tmp that goes with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  // Writes a file in it; returns its path.
  std::string Write(const std::string& name, const std::string& bytes) const;

 private:
  std::string path_;
};

// The whole file; empty when it cannot be read.
std::string ReadWholeFile(const std::string& path);

// ---- Processes --------------------------------------------------------------

// Starts a binary of this build. Its stdout and stderr go to `log_file`.
// `environment` holds NAME=VALUE.
std::unique_ptr<cli::Process> StartBinary(
    const std::string& name, const std::vector<std::string>& args,
    const std::string& log_file,
    const std::vector<std::string>& environment = {});

// What became of a command.
struct Ran {
  std::string outcome;  // "exit status 0", "killed by signal 9 (Killed)"
  std::string output;   // stdout and stderr
};
// Runs it to its end; killed after `within`.
Ran RunBinary(const std::string& name, const std::vector<std::string>& args,
              const std::vector<std::string>& environment = {},
              absl::Duration within = absl::Seconds(30));

bool ProcessExists(pid_t pid);  // and is no zombie
size_t ResidentBytes(pid_t pid);
// The most it ever was since the last ForgetPeak.
size_t PeakResidentBytes(pid_t pid);
void ForgetPeak(pid_t pid);

// ---- Services ---------------------------------------------------------------

// The services of one address, as a client made from the .proto files alone
// sees them. Calls have 10 s where none is given. Threads: any.
class Peer {
 public:
  explicit Peer(std::string address);
  ~Peer();
  const std::string& address() const { return address_; }

  absl::StatusOr<v1::Reply> Push(const v1::Request& request) const;
  absl::StatusOr<v1::Reply> Pull(const v1::Request& request) const;
  absl::StatusOr<v1::Reply> PushPull(const v1::Request& request) const;
  // Any bytes to any method: "/paramo.v1.Data/Push".
  absl::StatusOr<std::string> Raw(const std::string& method,
                                  const std::string& bytes) const;
  // The answer to one request at a time on one stream, and how it ended.
  std::pair<std::vector<v1::Reply>, absl::Status> Stream(
      const std::vector<v1::Request>& requests) const;

  v1::StatsReply Stats() const;
  // Value of a metric, summed over its labels, or of `labels` only.
  double Metric(const std::string& name, const std::string& labels = "") const;
  // paramo_refused_total{reason="..."}
  double Refused(const std::string& reason) const;
  absl::StatusOr<v1::ChecksumReply> Checksum(uint32_t table) const;

  // Served by the coordinator and by every server.
  absl::StatusOr<v1::ClusterState> State() const;

  // The coordinator's.
  absl::StatusOr<v1::Table> CreateTable(const v1::TableSpec& spec) const;
  absl::StatusOr<v1::Table> AlterTable(
      const v1::AlterTableRequest& request) const;
  absl::Status DropTable(const std::string& name) const;
  absl::StatusOr<v1::OpenSessionReply> OpenSession() const;
  absl::Status CreateJob(const v1::JobSpec& spec) const;

 private:
  struct Stubs;
  const std::string address_;
  std::unique_ptr<Stubs> stubs_;
};

// A sparse sgd table with lr 1 that starts at zero: after pushes of whole
// numbers every value is minus their sum, exactly.
v1::TableSpec CountingTable(const std::string& name, uint32_t dim);

// The least section that a simple client sends.
v1::Section SimpleSection(uint32_t table, const std::vector<uint64_t>& keys,
                          const std::vector<float>& values = {});
std::vector<float> Floats(const std::string& values);

// ---- Clusters ---------------------------------------------------------------

struct ClusterOptions {
  int servers = 3;
  int replicas = 1;
  int shards = 64;
  std::vector<std::string> server_args = {};
  std::vector<std::string> coordinator_args = {};
};

// Returns from construction when every shard is placed; ends the test with
// logs when that fails. Threads: one.
class TestCluster {
 public:
  explicit TestCluster(ClusterOptions options = {});
  ~TestCluster();
  TestCluster(const TestCluster&) = delete;

  const std::string& dir() const { return dir_.path(); }
  int servers() const { return options_.servers; }
  std::string data_dir(int server) const;
  std::string log(int server) const;  // what server `server` wrote so far

  const Peer& coordinator() const { return *coordinator_.peer; }
  const Peer& server(int server) const { return *servers_[server].peer; }
  pid_t pid(int server) const { return servers_[server].process->pid(); }
  bool Running(int server) { return servers_[server].process->Running(); }

  // Connects to `addresses`, or to the coordinator; ends the test if it cannot.
  std::unique_ptr<Cluster> Connect(std::string addresses = "");

  // Sends the signal; returns the outcome when the process has ended.
  std::string StopServer(int server, int signal);
  std::string StopCoordinator(int signal);
  // Returns from SIGSTOP when the server stands still.
  void Signal(int server, int signal);
  // The same data directory; a server gets another port, the coordinator the
  // same one. Return when it is ready.
  void StartServer(int server);
  void StartCoordinator();
  // Until the coordinator knows every server as up.
  void WaitUntilUp();

  // Sums over all servers: rows, and the checksum of protocols.
  std::pair<uint64_t, uint64_t> Checksum(uint32_t table) const;
  // Sum of the lsn of every shard: every change of anything makes it grow.
  uint64_t LsnSum() const;

 private:
  struct Node {
    std::string name;
    std::unique_ptr<cli::Process> process;
    std::unique_ptr<Peer> peer;
  };
  void Launch(Node& node, const std::string& binary,
              std::vector<std::string> args);
  void Await(Node& node);
  void LaunchServer(int server);

  const ClusterOptions options_;
  TempDir dir_;
  cli::Pipe lifeline_;  // servers hold its read end, and stop when we are gone
  Node coordinator_;
  std::vector<Node> servers_;
};

}  // namespace paramo::test
