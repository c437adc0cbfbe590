// One parameter server: the composition root that puts the data path together.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/limits.h"

namespace paramo {

struct ServerOptions {
  std::string listen = "127.0.0.1:0";
  std::string advertise;  // host:port told to others; empty: what listens
  std::string metrics_listen = "127.0.0.1:0";
  std::string data_dir;
  std::vector<std::string> coordinators;
  int threads = 2;  // completion queues, and so the strands' parallelism
  size_t held_bytes_max = kHeldBytesDefault;
  size_t reply_bytes_max = kReplyBytesDefault;
  size_t log_buffer_bytes = kLogBufferBytesDefault;
  size_t receive_bytes_max = kReceiveBytesDefault;
  size_t connections_per_peer_max = kConnectionsPerPeerMax;
  bool shm = true;             // with clients of this user on this machine
  std::string tcp_congestion;  // by the kernel's name; empty: its default
  uint64_t flush_log_bytes = kUnstoredLogBytesDefault;
  absl::Duration flush_interval = absl::Seconds(10);
  absl::Duration register_timeout = absl::Seconds(30);
  bool reflection = false;
  bool keep_log = false;  // never cut: whole logs, for proofs
};

// Life: Start returns it serving; Stop, once, ends it in order. Threads: the
// caller's one.
class Server {
 public:
  // Starts, registers, and begins to follow the cluster state. `on_fatal` is
  // called once, from any thread, when the server cannot go on (a damaged
  // store, a cluster state that it cannot serve): stop it then.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      ServerOptions options, std::function<void(absl::Status)> on_fatal);
  ~Server();

  std::string address() const;          // host:port of the data plane
  std::string metrics_address() const;  // host:port of the Prometheus page

  // Blocks until the first cluster state is in force here, or `timeout`.
  bool WaitUntilReady(absl::Duration timeout);

  // Refuses new work, answers what waits, stores every row, marks the data
  // directory clean.
  // Errors: of the store; the directory is then not marked clean
  absl::Status Stop();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace paramo
