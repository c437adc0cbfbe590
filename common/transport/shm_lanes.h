// The server's side of shared memory: who gets a lane, and what a request in
// one is.
//
//   client                              server
//     Hello ------------- gRPC ----------->
//     <-- directory, token ----------------
//     connect ---------- unix socket ----->   same user? room for one more?
//     <-- memfd, token, name of the lane ---  a lane that waits to be claimed
//     writes a request into its lane
//     envelope ---------- gRPC ----------->   the stream claims the lane,
//     copies
//                                             the request, checks the copy
//                                             writes the reply into the lane
//     <-- envelope -------------------------
//
// A client may write to its lane at any time, so nothing there is ever believed
// or read twice: what is checked, logged and applied is the copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/descriptor.h"
#include "common/base/limits.h"
#include "common/base/mutex.h"
#include "common/metrics/metrics.h"
#include "common/transport/shm_memory.h"

namespace paramo {

struct ShmCounters {
  explicit ShmCounters(MetricsRegistry& registry);

  Gauge& lanes;
  Counter& bytes_in;
  Counter& bytes_out;
  Counter& other_user;  // refused a lane, by reason
  Counter& lanes_max;
  Counter& no_memory;
  Counter& large_replies;
};

// One client's memory. Its owners are whoever may still claim it, the stream
// that has, and replies while they are written there.
struct ShmLane {
  ShmLane(std::unique_ptr<SharedMemory> shared, const ShmCounters& count)
      : memory(std::move(shared)), counters(count) {
    counters.lanes.Add(1);
  }
  ~ShmLane() { counters.lanes.Add(-1); }

  const std::unique_ptr<SharedMemory> memory;
  const ShmCounters counters;  // which may outlive ShmLanes
};

// Hands lanes out. Owns the socket and one thread. Life: Start to destructor;
// the metrics outlive it and every lane. Threads: Claim, any.
class ShmLanes {
 public:
  struct Options {
    std::string directory;  // for the socket; made if it is not there
    size_t lane_bytes = kShmLaneBytes;
    size_t lanes_max = kShmLanesMax;
  };

  // Errors: FAILED_PRECONDITION  others may enter the directory
  //         others               of the kernel
  static absl::StatusOr<std::unique_ptr<ShmLanes>> Start(
      const Options& options, MetricsRegistry& metrics);
  ~ShmLanes();
  ShmLanes(const ShmLanes&) = delete;
  ShmLanes& operator=(const ShmLanes&) = delete;

  // What a Hello says.
  const std::string& directory() const { return options_.directory; }
  uint64_t token() const { return token_; }

  // The lane of that name, for the stream that asks first; null for others, and
  // when its client has gone before.
  std::shared_ptr<ShmLane> Claim(uint64_t lane);

 private:
  // A client that was given a lane, for as long as it stays connected.
  struct Client {
    Descriptor socket;
    uint64_t lane;
  };

  ShmLanes(Options options, MetricsRegistry& metrics);
  absl::Status Listen();
  void Run();
  // False when a client has to wait for a free descriptor.
  bool Admit();
  // The lane's name; 0 when there is none to be had.
  uint64_t GiveLane(const Descriptor& socket);

  // Fixed once started.
  const Options options_;
  const uint64_t token_;
  const ShmCounters counters_;
  Descriptor directory_;
  Descriptor socket_;
  Descriptor stop_;
  std::vector<Client> clients_;  // the thread's own
  std::thread thread_;

  Mutex mu_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<ShmLane>> unclaimed_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo
