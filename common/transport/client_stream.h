// One attempt at a stream: a TCP connection and the call on it. A thin skin
// over gRPC's operations; what they mean is decided by ChannelCore.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/mem/buffer.h"
#include "common/mem/rope.h"

namespace paramo {

class ClientLoop;
class ClientStream;

// All on the loop's thread. OnEnded comes exactly once, last; an OnWritten may
// be missing when the stream broke.
class ClientStreamEvents {
 public:
  virtual ~ClientStreamEvents() = default;
  virtual void OnStarted(ClientStream* stream) = 0;
  virtual void OnReply(ClientStream* stream, Rope reply) = 0;
  virtual void OnWritten(ClientStream* stream) = 0;
  virtual void OnEnded(ClientStream* stream, const absl::Status& status) = 0;
};

class ClientStream {
 public:
  virtual ~ClientStream() = default;
  virtual void Start() = 0;
  // From OnStarted on; the next one after OnWritten. Threads: any.
  virtual void Write(Message message) = 0;
  // Ends the stream, soon, with CANCELLED. Threads: any, any time.
  virtual void Cancel() = 0;
};

// Keeps `events` alive until OnEnded.
std::shared_ptr<ClientStream> MakeClientStream(
    ClientLoop& loop, std::shared_ptr<ClientStreamEvents> events,
    const std::string& address, const std::string& method,
    absl::Duration connect_timeout);

}  // namespace paramo
