// A connection to a Paramo cluster: its tables, and requests over several.
//
//   auto cluster = paramo::Cluster::Connect();          // $PARAMO_ADDRESS
//   auto table = (*cluster)->CreateTable({.name = "ads", .dim = 64});
//   table->Push(keys, gradients);
//   table->Pull(keys, rows);
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "paramo/future.h"
#include "paramo/options.h"
#include "paramo/spec.h"
#include "paramo/status.h"
#include "paramo/table.h"
#include "paramo/tensor.h"

namespace paramo {
inline namespace sdk {

struct JobSpec;

struct ConnectOptions {
  // host:port of the coordinator, and of more seeds if there are any,
  // separated by commas. Empty: $PARAMO_ADDRESS.
  std::string addresses;
  // How long Connect waits for a cluster that serves every shard.
  std::chrono::milliseconds timeout{10'000};
  // Deadline of every call that names none; 10 minutes at most.
  std::chrono::milliseconds deadline{30'000};
  // Threads that receive answers and copy rows. One serves 2-3 GB/s.
  int threads = 1;
  // Big requests and answers of servers on this machine, of this user, go
  // through shared memory. PARAMO_SHM=off in the environment turns it off too.
  bool shm = true;
  // Gets a line when a call has waited for more than 5 s, saying for what.
  // Called from any thread; must not call back. Empty: stderr.
  std::function<void(const std::string& line)> log;
};

// Counters since Connect. Bytes are of messages, without gRPC's framing.
struct ClusterStats {
  uint64_t pushes = 0;  // calls
  uint64_t pulls = 0;   // calls; a PushPull counts as both
  uint64_t requests = 0;
  uint64_t retries = 0;  // sections sent again
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t shm_bytes = 0;  // of both, what went through shared memory
  uint64_t shm_full = 0;   // requests that found no room there
  // Of pulls that the job's sync policy made wait for other workers, summed
  // over calls; of a call the longest, over its servers.
  std::chrono::microseconds parked{0};
};

// Owns the connections and threads. Destroy it after every future is ready
// and every Job made from it is gone; handles it gave out are then invalid.
// The destructor fails what is still in flight with CANCELLED.
//
// Threads: all methods from any.
class Cluster {
 public:
  // Errors: INVALID_ARGUMENT  no address, or one that is not host:port
  //         UNAVAILABLE       nobody answered within `timeout`, or some shard
  //                           has no server yet
  static Result<std::unique_ptr<Cluster>> Connect(ConnectOptions options = {});

  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // ---- Tables ---------------------------------------------------------------

  // Creates the table, or opens one that has an equal spec.
  // Errors: INVALID_ARGUMENT    the spec, with the field and its range
  //         ALREADY_EXISTS      same name, other spec; the message shows the
  //                             difference
  //         RESOURCE_EXHAUSTED  too many tables
  Result<Table> CreateTable(const TableSpec& spec);
  // Errors: NOT_FOUND
  Result<Table> OpenTable(const std::string& name);

  // The same for dense tensors: `spec.shape` is needed; `spec.dim` 0 means
  // kTensorDimDefault, or the whole tensor if that is smaller.
  Result<Tensor> CreateTensor(TableSpec spec);
  // Errors: NOT_FOUND; INVALID_ARGUMENT when the table is not a tensor
  Result<Tensor> OpenTensor(const std::string& name);

  // Changes the rule, its parameters and what acts on gradients. Open handles
  // follow.
  // Errors: NOT_FOUND; INVALID_ARGUMENT a value out of range, or nothing to
  //         change; FAILED_PRECONDITION the rule has other slots
  Result<TableInfo> AlterTable(const std::string& name,
                               const TableChanges& changes);
  // Removes the table and its rows. Not undone by anything.
  Status DropTable(const std::string& name);
  Result<std::vector<TableInfo>> ListTables();

  // ---- Several tables at once -----------------------------------------------

  // One request per server for all parts together. Errors, effects and the
  // life of spans: as Table's methods of the same name.
  Status Pull(std::span<const PullPart> parts, const PullOptions& options = {});
  Result<PushAck> Push(std::span<const PushPart> parts,
                       const PushOptions& options = {});
  Result<PushAck> PushPull(std::span<const PushPart> pushes,
                           std::span<const PullPart> pulls,
                           const PushOptions& options = {});
  Future<Status> PullAsync(std::span<const PullPart> parts,
                           const PullOptions& options = {});
  Future<Result<PushAck>> PushAsync(std::span<const PushPart> parts,
                                    const PushOptions& options = {});

  // Waits until everything sent before has been answered or has failed.
  // Errors: DEADLINE_EXCEEDED
  Status Flush(std::chrono::milliseconds deadline = std::chrono::seconds(30));

  // ---- Jobs -----------------------------------------------------------------

  // Creates a job, or opens one of the same name and spec that is not over;
  // `true` when it was created. To take part: Job::Join (job.h).
  // Errors: ALREADY_EXISTS  same name and another spec, or the job is over
  Result<bool> CreateJob(const JobSpec& spec);

  // ---- About ----------------------------------------------------------------

  uint64_t id() const;
  uint32_t shard_count() const;
  ClusterStats stats() const;

  // For Paramo's own tools: the machinery behind this handle.
  client::Core& core() { return *core_; }

 private:
  explicit Cluster(std::unique_ptr<client::Core> core);

  std::unique_ptr<client::Core> core_;
};

}  // namespace sdk
}  // namespace paramo
