// The faults of a chaos run: what each does to what, and how it ends.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "tests/chaos/clients.h"
#include "tests/chaos/cluster.h"
#include "tests/chaos/isolation.h"

namespace paramo::chaos {

enum class FaultKind {
  kKill9,      // a server gets SIGKILL, and is started again
  kStop,       // SIGSTOP, then SIGCONT
  kPartition,  // a server is cut off from everybody
  kBlackhole,  // requests to a server vanish; it still reaches others
  kDelay,      // proxy.h says what these do to a server's connections
  kReorder,
  kDuplicate,
  kCorrupt,
  kHalfOpen,
  kDiskFull,         // a server's file system is filled
  kCoordinatorKill,  // the one that leads gets SIGKILL, and is started again
  kEtcdKill,         // a member of etcd does
  kWorkerKill,       // a client gets SIGKILL; another takes its place
};

const char* Name(FaultKind kind);
// Errors: INVALID_ARGUMENT  listing the names
absl::StatusOr<std::vector<FaultKind>> ParseKinds(const std::string& list);
std::vector<FaultKind> AllKinds();

// What the faults happen to.
struct Scene {
  ChaosCluster& cluster;
  Clients& clients;
  Isolation& isolation;
};

// Why a kind cannot be had here; OK when it can.
absl::Status CanHave(FaultKind kind, const Isolation& isolation, bool etcd);

// Bytes of each server's disk when it is to be filled; 0 otherwise. Its log has
// to hold what is pushed during `logged_faults`.
uint64_t DiskBytesFor(const std::vector<FaultKind>& kinds,
                      uint64_t logged_faults);

// One fault, chosen by the generator: target, length, variant.
class Fault {
 public:
  Fault(FaultKind kind, const Scene& scene, BitGen& random);

  FaultKind kind() const { return kind_; }
  const std::string& target() const { return target_; }  // for people
  // The server it happens to; negative: none.
  int server() const { return node_; }
  // The client that was killed; 0: none.
  uint32_t victim() const { return victim_; }
  absl::Duration length() const { return length_; }
  // It is over in an instant; others meet what comes while they last.
  bool sudden() const;
  // It happens to nobody whom a push needs.
  bool harmless() const;
  // After Heal: why it did nothing, though it was there; empty: it did.
  std::string WhyNoEffect(Scene& scene) const;

  absl::Status Inject(Scene& scene);
  // Undoes it. The cluster may take its time to be whole again.
  absl::Status Heal(Scene& scene);

 private:
  absl::Status InjectInNetwork(Scene& scene);
  absl::Status HealInNetwork(Scene& scene);

  const FaultKind kind_;
  int node_ = -1;   // of the cluster; negative and no coordinator_kill: none
  int member_ = 0;  // of etcd
  size_t client_ = 0;
  uint32_t victim_ = 0;
  std::string target_;
  absl::Duration length_;
  ProxyCounters before_;  // of the target's data proxy
};

}  // namespace paramo::chaos
