// The listening side of the data plane: service Data of data.proto over
// completion queues and raw bytes. Step 0 of the data path.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/limits.h"
#include "common/transport/connections.h"
#include "common/transport/incoming_call.h"

namespace grpc {
class Service;
}

namespace paramo {

class MetricsRegistry;
class ShmLanes;

// Owns the listening ports and the thread that accepts, one completion queue
// per thread, and every connection. Life: made by a composition root; Shutdown
// (or the destructor) returns when no thread of it runs any more. IncomingCalls
// may outlive it.
//
// One stream:
//
//   read -> handler -> read -> handler -> ...     in order, one at a time
//      replies, any thread, any order -> queue -> one write outstanding
//
// Flow control: the next read waits while in_flight_max requests are not yet
// answered and sent, or kStreamUnsentBytesSoft of replies are not yet sent.
class DataServer {
 public:
  struct Options {
    // "host:port"; port 0 takes a free one. At least one.
    std::vector<std::string> listen;
    int threads = 2;
    // Without a handler the server has only `services`, and no Data service.
    DataHandler handler;
    // Callback (or synchronous) services served beside; not owned, must
    // outlive the server.
    std::vector<grpc::Service*> services;
    bool reflection = false;
    size_t in_flight_max = kStreamInFlightMax;
    size_t unsent_bytes_soft = kStreamUnsentBytesSoft;
    size_t unsent_bytes_max = kStreamUnsentBytesMax;
    absl::Duration write_timeout = absl::Milliseconds(kWriteTimeoutMs);
    absl::Duration handshake_timeout = absl::Milliseconds(kHandshakeTimeoutMs);
    size_t message_bytes_max = kMessageBytesMax;
    size_t receive_bytes_max = kReceiveBytesDefault;
    // Fewer where the process may not have so many descriptors.
    Connections::Limits connections = {};
    // Lanes of shared memory that streams may use; may be nullptr. Outlives the
    // server.
    ShmLanes* shm = nullptr;
    // TCP's congestion control, by the kernel's name; empty: its default.
    std::string tcp_congestion;
    // Where to count open streams, those that this side ended, and
    // connections; may be nullptr. Outlives the server.
    MetricsRegistry* metrics = nullptr;
  };

  // Serves at once; grpc.health.v1 included, SERVING.
  // Errors: UNAVAILABLE       an address cannot be listened on
  //         INVALID_ARGUMENT  an address is not host:port, or the kernel has
  //                           no such congestion control
  static absl::StatusOr<std::unique_ptr<DataServer>> Start(Options options);
  ~DataServer();
  DataServer(const DataServer&) = delete;
  DataServer& operator=(const DataServer&) = delete;

  // The ports listened on, in the order of Options::listen.
  int port() const { return ports_[0]; }
  const std::vector<int>& ports() const { return ports_; }

  // What grpc.health.v1 answers, for the server as a whole.
  void SetServing(bool serving);

  // Streams open now.
  size_t streams() const;

  // Accepts nothing more, lets open calls end by themselves for `grace`, then
  // cancels them. A stream is open until its client closes it. Idempotent.
  // Not from a handler: it waits for the thread that runs it.
  void Shutdown(absl::Duration grace = absl::ZeroDuration());

 private:
  struct Impl;
  explicit DataServer(std::unique_ptr<Impl> impl);

  std::vector<int> ports_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace paramo
