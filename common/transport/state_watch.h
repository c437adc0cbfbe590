// Hands the cluster state to whoever watches it: service Cluster of
// control.proto, the same in the coordinator and in every server.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace grpc {
class Service;
}

namespace paramo {

namespace v1 {
class ClusterState;
}

// Owned by a composition root; must outlive the gRPC server it is registered
// with. Watchers are callback calls: they hold no thread. At most
// kStateWatchersMax at once; further ones get RESOURCE_EXHAUSTED.
// Threads: any.
class StateWatch {
 public:
  StateWatch();
  ~StateWatch();
  StateWatch(const StateWatch&) = delete;
  StateWatch& operator=(const StateWatch&) = delete;

  // To register with the gRPC server.
  grpc::Service* service();

  // The state is now this one; a version that is not newer is ignored. Slow
  // watchers skip versions.
  void Publish(std::shared_ptr<const v1::ClusterState> state);
  // Null before the first Publish and after Withdraw.
  std::shared_ptr<const v1::ClusterState> state() const;

  // The state is no longer ours to hand out: ends every watch with UNAVAILABLE
  // and `why`, and those to come, until the next Publish.
  void Withdraw(const std::string& why);

  // Ends every watch with UNAVAILABLE, and those to come.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace paramo
