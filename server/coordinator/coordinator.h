// A whole coordinator in one object: store, term, services, ports.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/limits.h"
#include "common/etcd/security.h"
#include "common/metrics/metrics.h"
#include "server/coordinator/table_spec.h"

namespace paramo {

struct CoordinatorOptions {
  std::string listen = "127.0.0.1:7700";  // port 0 takes a free one
  std::string metrics_listen;  // host:port of the Prometheus page; "" = none
  // Where other processes reach it; "" = where it listens.
  std::string advertise;

  // Either a directory, made when absent: this is the only coordinator.
  std::string data_dir;
  // Or the endpoints of an etcd cluster, host:port, and a name below which the
  // cluster's keys lie: any number of coordinators, of which one leads.
  std::vector<std::string> etcd;
  EtcdSecurityOptions etcd_security;
  std::string cluster_name = "default";
  absl::Duration leader_lease = absl::Seconds(2);
  absl::Duration etcd_history = absl::Minutes(5);  // 0 = do not compact

  uint32_t shards = 0;  // of a new cluster, a power of two; 0 = 64, or as is
  uint32_t servers_expected = 1;  // shards are placed once so many are up
  uint32_t replicas = 0;          // of every shard; 0: 2, or 1 on one server
  // Primaries are balanced when nothing has failed for so long; 0 = never.
  absl::Duration balance_after = absl::Seconds(10);
  bool insecure_listen = false;  // allows addresses beyond loopback
  bool reflection = false;
  size_t connections_per_peer_max = kConnectionsPerPeerMax;
  std::string tcp_congestion;  // by the kernel's name; empty: its default
  RuleCheck rule_check;
  // Called once, from a thread of the coordinator, when its embedded store has
  // failed; the process should end. With etcd it only leads no more.
  std::function<void(const absl::Status&)> on_failed;
};

// "embedded" leaves `endpoints` empty; "etcd://HOST:PORT,HOST:PORT" fills it.
// INVALID_ARGUMENT otherwise.
absl::Status ParseStore(absl::string_view text,
                        std::vector<std::string>& endpoints);

// Life: Start returns when it serves; the destructor stops it, which answers
// every call that waits. Threads: any.
class Coordinator {
 public:
  // An etcd that does not answer is no error: it is waited for.
  // Errors: INVALID_ARGUMENT     an option, with what it should be
  //         FAILED_PRECONDITION  the data directory is in use, or is of
  //                              another format or shard count
  //         DATA_LOSS            the store is damaged
  //         UNAVAILABLE          a port is taken
  static absl::StatusOr<std::unique_ptr<Coordinator>> Start(
      CoordinatorOptions options);
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  const std::string& address() const { return address_; }  // host:port
  const std::string& metrics_address() const { return metrics_address_; }

 private:
  struct Parts;
  explicit Coordinator(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
  std::string address_;
  std::string metrics_address_;
};

}  // namespace paramo
