// Reads the cluster state from whoever hands it out (state_watch.h).
#pragma once

#include <memory>

#include "absl/status/status.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace paramo {

namespace v1 {
class ClusterState;
class WatchRequest;
}  // namespace v1

// One Cluster.Watch call. `context` outlives it; its TryCancel ends the call,
// from any thread at any time.
class StateReader {
 public:
  StateReader(std::shared_ptr<grpc::Channel> channel,
              grpc::ClientContext& context, const v1::WatchRequest& request);
  ~StateReader();
  StateReader(const StateReader&) = delete;
  StateReader& operator=(const StateReader&) = delete;

  // Waits for the next state; false when none follows. The first one makes the
  // call, which waits for a connection and for leave to send: for as long as a
  // peer, or what was damaged on the way, pleases.
  bool Read(v1::ClusterState& state);
  // Why none does; once, after Read returned false.
  // Errors: DATA_LOSS  the last one was damaged on the way
  absl::Status Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace paramo
