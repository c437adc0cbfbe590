// Accepts the connections of a server, because gRPC's own accept limits
// neither their number nor who has them.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/base/descriptor.h"
#include "common/metrics/metrics.h"
#include "common/transport/connections.h"
#include "common/transport/listen.h"

namespace paramo {

// Owns the listening sockets and one thread:
//
//   poll -> accept -> count by peer -> hand over          within the limits
//                                   -> close, count       beyond them
//        -> no descriptor is free: wait 100 ms; peers stay in the backlog
//
// Life: Start begins to accept; Stop (or the destructor) closes the sockets
// and returns when the thread is gone, after which nothing is handed over.
// What was handed over is the receiver's. Threads: Start and Stop, the owner's.
class Acceptor {
 public:
  // Owns `fd`, which does not block, from the call on.
  using HandOver = std::function<void(int listener, int fd)>;

  Acceptor(std::vector<Listening> listening, Connections::Limits limits,
           MetricsRegistry& metrics);
  ~Acceptor() { Stop(); }
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Errors: UNAVAILABLE  no descriptor is free
  absl::Status Start(HandOver hand_over);
  void Stop();

 private:
  void Run();
  // What is in the backlog, up to a batch; false when descriptors are used up.
  bool AcceptSome(int listener);
  void Admit(int listener, Descriptor fd, const sockaddr_storage& from);
  void Refuse(Connections::Verdict why, const sockaddr_storage& from);

  std::vector<Descriptor> sockets_;
  Descriptor stop_;
  HandOver hand_over_;
  std::thread thread_;

  // The thread's own.
  Connections connections_;
  absl::Time last_complaint_ = absl::InfinitePast();

  Gauge& open_;
  Counter& accepted_;
  Counter& peer_full_;
  Counter& full_;
  Counter& failures_;
};

// `limits` made smaller where the process may not have so many descriptors:
// half of them are for files, and no peer gets more than half of the rest.
Connections::Limits WithinDescriptors(Connections::Limits limits);

}  // namespace paramo
