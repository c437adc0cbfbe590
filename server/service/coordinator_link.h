// The server's line to the coordinator: registers, beats, and follows the
// cluster state. Loses nothing when the coordinator is away: pushes and pulls
// go on, only changes wait. What it said last may have reached some servers
// only; the others hear it from them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace paramo {

namespace v1 {
class ClusterState;
class HeartbeatRequest;
}  // namespace v1

// Owned by the server. Two threads: one beats (and registers again when the
// coordinator has forgotten us), one watches.
class CoordinatorLink {
 public:
  struct Options {
    std::vector<std::string> coordinators;  // host:port, tried in turn
    std::string address;  // our data plane, as others reach it
    std::string metrics_address;
    uint64_t incarnation = 0;
    uint64_t cluster_id = 0;  // from the data directory; 0 = none yet
    uint32_t server_id = 0;   // likewise
    std::vector<uint32_t> damaged_shards = {};
    // The incarnation before this one, of which nothing but damaged_shards can
    // be missing; 0 where that is not known.
    uint64_t continues = 0;
  };

  struct Registration {
    uint64_t cluster_id = 0;
    uint64_t cluster_incarnation = 0;
    uint32_t server_id = 0;
  };

  // Applies a newer state; returns when it is in force on every shard here.
  // Called on the watching thread, one at a time.
  using OnState = std::function<void(std::shared_ptr<const v1::ClusterState>)>;

  explicit CoordinatorLink(Options options);
  ~CoordinatorLink();
  CoordinatorLink(const CoordinatorLink&) = delete;
  CoordinatorLink& operator=(const CoordinatorLink&) = delete;

  // Registers, trying until `timeout`.
  // Errors: those of RegisterServer that are final (another cluster, id taken);
  //         UNAVAILABLE  no coordinator answered in time
  absl::StatusOr<Registration> Register(absl::Duration timeout);

  // Adds what shards have to tell. On the beating thread; must not block.
  using FillBeat = std::function<void(v1::HeartbeatRequest&)>;

  // After Register: starts beating and watching.
  void Start(OnState on_state, FillBeat fill_beat);

  // There is something to tell that should not wait for the next beat.
  void BeatNow();

  // Says goodbye when `leaving`, then stops both threads.
  void Stop(bool leaving);

 private:
  struct Rpc;  // stubs and the running watch

  void Beat();
  void Watch();
  absl::Status WatchCoordinator(size_t coordinator);
  absl::Status WatchPeer(const std::string& address);
  void Take(v1::ClusterState state);
  // The newest version of the cluster's state.
  absl::StatusOr<uint64_t> SendHeartbeat(size_t coordinator, bool leaving);
  bool WaitUnlessStopping(absl::Duration time);
  // The one to ask; and that it was the wrong one. Both threads ask, so the
  // second complaint about the same one changes nothing.
  size_t ThisCoordinator() const;
  void NextCoordinator(size_t coordinator);

  const Options options_;
  Registration registration_;
  OnState on_state_;
  FillBeat fill_beat_;
  absl::Duration heartbeat_ = absl::Milliseconds(50);
  std::unique_ptr<Rpc> rpc_;

  // Newest version in force; written by the watching thread, read by the
  // beating one. Relaxed: a number on its own.
  std::atomic<uint64_t> applied_version_{0};
  // No coordinator answers beats. Relaxed: whom to watch, not what is there.
  std::atomic<bool> lost_{false};
  // Data planes of the other servers that are up, in the newest state. Of the
  // watching thread.
  std::vector<std::string> peers_;

  Mutex mu_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool beat_now_ ABSL_GUARDED_BY(mu_) = false;

  std::thread beating_;
  std::thread watching_;
};

}  // namespace paramo
