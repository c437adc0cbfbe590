// The calling side of the data plane: one long-lived stream to one server,
// many requests at a time, matched by id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/limits.h"
#include "common/mem/buffer.h"
#include "common/mem/rope.h"

namespace paramo {

class ChannelCore;
class ClientLoop;

// The threads that channels run on: each owns a completion queue and a timer
// queue. Life: made by the client library; outlives every DataChannel on it.
class ClientExecutor {
 public:
  explicit ClientExecutor(int threads);
  ~ClientExecutor();
  ClientExecutor(const ClientExecutor&) = delete;
  ClientExecutor& operator=(const ClientExecutor&) = delete;

 private:
  friend class DataChannel;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// True when a failed request certainly never left this process: it can be sent
// again, to anyone, without a session. Otherwise the outcome is unknown.
bool NeverSent(const absl::Status& status);

// Connects on the first Send, and again on a later one after the connection
// broke; between failed attempts it waits (jittered, doubling), and Sends fail
// at once. Requests queue while connecting. Nothing is resent by itself.
//
// Threads: any. Done callbacks run on one thread of the executor, always the
// same one for a channel, never inside Send; they must not block.
class DataChannel {
 public:
  struct Options {
    std::string address;  // host:port
    // Channels of different lanes have a TCP connection each, so that a big
    // push does not stand in front of a small pull. (Every channel has one of
    // its own; the name is for logs.)
    std::string lane;
    // The streaming method that it calls.
    std::string method = "/paramo.v1.Data/Stream";
    // The first message of every stream, made anew for each.
    std::function<Message()> hello;
    // Reads the server's answer to it. Not OK: the stream is dropped, and
    // Sends fail with that status until the next attempt.
    std::function<absl::Status(const Rope&)> check_hello;
    // Makes a request of this id that the server answers at once. A stream
    // that owes answers and says nothing is asked with it whether it still
    // works, and given up when it does not answer that either. None: it is
    // given up when a request has waited in vain for its whole deadline.
    std::function<Message(uint64_t id)> probe;
    absl::Duration probe_after = absl::Seconds(1);
    absl::Duration probe_timeout = absl::Seconds(3);
    // A stream that does not take a request for so long, and a second more for
    // each MiB of it, is given up.
    absl::Duration write_timeout = absl::Seconds(3);
    size_t in_flight_max = kStreamInFlightMax;
    size_t queue_bytes_max = kClientQueueBytesMax;
    // Until the Hello is answered; two lost packets may delay it that long.
    absl::Duration connect_timeout = absl::Seconds(3);
    uint64_t seed = 0;  // of the jitter; 0 = random
    // Ask the server for a lane of shared memory, if it is on this machine.
    // Requests in blocks of MakeBlock then lie there, and their replies too;
    // whatever is in the way of that, they go by gRPC.
    bool shm = false;
  };

  // Since the channel was made.
  struct ShmStats {
    uint64_t bytes = 0;  // of requests and replies that lay in shared memory
    uint64_t full = 0;   // requests that found no room there
  };

  // The reply, or why there is none:
  //   DEADLINE_EXCEEDED   no reply in time
  //   UNAVAILABLE         not connected, or the connection broke
  //   RESOURCE_EXHAUSTED  too many bytes queued, or the request is too large
  //   CANCELLED           Cancel, or the channel was closed
  //   others              what check_hello or the server's refusal said
  // NeverSent() tells whether the request left.
  using Done = std::function<void(absl::StatusOr<Rope>)>;

  DataChannel(ClientExecutor& executor, Options options);
  // As Close.
  ~DataChannel();
  DataChannel(const DataChannel&) = delete;
  DataChannel& operator=(const DataChannel&) = delete;

  // A block to lay a request of `bytes` out in, whose reply takes no more than
  // `reply_bytes`: in shared memory, where that is to be had and is worth it.
  Buffer MakeBlock(size_t bytes, size_t reply_bytes);

  // An id never used before on this channel.
  uint64_t NextId();

  // Sends `request`, which carries `id` as its Request.id. `done` is called
  // exactly once.
  void Send(uint64_t id, Message request, absl::Duration timeout, Done done);

  // Gives up on a request: its done is called with CANCELLED, unless it has
  // been called already. The server may still carry it out.
  void Cancel(uint64_t id);

  // Fails everything with CANCELLED and refuses what comes after. Returns when
  // every done has been called, except when called from inside one.
  void Close();

  const std::string& address() const;

  // Requests without an answer yet, queued ones included.
  size_t outstanding() const;

  ShmStats shm_stats() const;

 private:
  std::shared_ptr<ChannelCore> core_;  // shared with its gRPC operations
};

}  // namespace paramo
