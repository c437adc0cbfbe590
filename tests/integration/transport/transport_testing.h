// A server and channels on real sockets, for the transport's tests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/metrics/metrics.h"
#include "common/transport/data_client.h"
#include "common/transport/data_server.h"

namespace paramo {

// The bytes of a message whose id is `id` (field 1 of Request and Reply
// alike), then `payload_bytes` that depend on the id.
std::string MessageText(uint64_t id, size_t payload_bytes);

Message ToMessage(const std::string& text);

// Answers a Hello with a Hello, anything else with its own bytes.
void Echo(std::unique_ptr<IncomingCall> call);
void AnswerHello(IncomingCall& call);

// A server on loopback; stops when destroyed.
std::unique_ptr<DataServer> StartServer(DataHandler handler, int port = 0);
std::unique_ptr<DataServer> StartServer(DataServer::Options options);

DataChannel::Options ChannelTo(int port);

// Polls until it holds; false after 10 s.
bool WaitUntil(const std::function<bool()>& condition);

// Collects the outcome of one request, and how often it was reported.
class Outcome {
 public:
  Outcome() : state_(std::make_shared<State>()) {}
  DataChannel::Done Done() const;
  // Waits for it; the test fails after 20 s.
  absl::StatusOr<std::string> Wait() const;
  int count() const;

 private:
  struct State {
    Mutex mu;
    CondVar cv;
    int count ABSL_GUARDED_BY(mu) = 0;
    absl::StatusOr<std::string> result ABSL_GUARDED_BY(mu);
  };
  std::shared_ptr<State> state_;  // shared with the Done
};

// Sends MessageText(next id, bytes) and expects it back.
absl::Status EchoOnce(DataChannel& channel, size_t payload_bytes,
                      absl::Duration timeout = absl::Seconds(20));

// The value of a metric, or -1 when there is none of that name and labels.
double MetricValue(const MetricsRegistry& registry, const std::string& name,
                   const std::string& labels);

// Resident memory of this process, in bytes.
size_t ResidentBytes();

// AddressSanitizer keeps freed memory, to find its users: then resident memory
// shows no bound.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kFreedIsGivenBack = false;
#else
inline constexpr bool kFreedIsGivenBack = true;
#endif

// A plain TCP connection to loopback, for peers that speak no gRPC.
class RawSocket {
 public:
  // Connects from `source`: every 127.x.y.z is a peer of its own.
  explicit RawSocket(int port, const char* source = "127.0.0.1");
  ~RawSocket();
  RawSocket(const RawSocket&) = delete;
  // False when the server has hung up.
  bool Send(const std::string& bytes);
  // Everything up to the end of the stream; empty optional when the server
  // kept the connection open for `wait`.
  bool ClosedWithin(absl::Duration wait, std::string* received = nullptr);

 private:
  int fd_;
};

}  // namespace paramo
