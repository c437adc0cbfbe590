// The store of coordinators that share an etcd v3 cluster (3.4 or later).
// Every key lies below a prefix, so that several clusters, and other users,
// may share one etcd.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/etcd/security.h"
#include "server/coordinator/kv_store.h"

namespace paramo {

struct EtcdKvOptions {
  std::vector<std::string> endpoints;  // host:port, of one etcd cluster
  std::string prefix;                  // "/paramo/NAME/"
  EtcdSecurity security;

  // One call, over all endpoints. A transaction under load waits for two
  // disks; an election of etcd's takes 1 to 2 s.
  absl::Duration call_timeout = absl::Seconds(3);
  // One endpoint's part of it, and how long it may take to connect.
  absl::Duration try_timeout = absl::Seconds(1);
  absl::Duration connect_timeout = absl::Milliseconds(500);
  // A watch that heard nothing for so long asks for a sign of life, and is
  // made again elsewhere when as much goes by without one.
  absl::Duration watch_quiet = absl::Seconds(1);
};

// Asks nobody yet: an etcd that is down is an error of the calls.
//
// Errors of all calls, beside those of KvStore:
//   UNAVAILABLE          no endpoint answers, or etcd has no leader; of a
//                        transaction: perhaps it happened
//   DEADLINE_EXCEEDED    as before, too slow
//   RESOURCE_EXHAUSTED   etcd is full (alarm NOSPACE), or overloaded
//   FAILED_PRECONDITION  an endpoint belongs to another etcd cluster, or etcd
//                        does not accept the user, the password, or none
//   DATA_LOSS            etcd went back in time: restored from a copy
absl::StatusOr<std::unique_ptr<KvStore>> OpenEtcdKv(
    const EtcdKvOptions& options);

}  // namespace paramo
