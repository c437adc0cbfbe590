// Stands between a client and one member of etcd, and misbehaves when told:
// refuses, swallows answers, is slow, falls silent, is another cluster.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"

namespace paramo::test {

// What it does to calls of one method ("Range", "Txn", "Compact",
// "LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "Watch", "Status").
struct EtcdFault {
  std::string method = "";
  int calls = 1;         // so many, then no more
  bool forward = false;  // etcd does it all the same
  int code = 14;         // gRPC's number of the answer: UNAVAILABLE
  std::string message = "etcdserver: request timed out";
  absl::Duration delay = absl::ZeroDuration();  // before anything else
};

// Listens from construction to destruction. Threads: any.
class EtcdProxy {
 public:
  explicit EtcdProxy(const std::string& target);
  ~EtcdProxy();
  const std::string& address() const { return address_; }

  void Break(EtcdFault fault);
  void Mend();  // no fault any more
  // Nothing of any watch comes through, its end neither.
  void SilenceWatches(bool silent);
  // Says that it is of this cluster; 0 = says what the member says.
  void PretendCluster(uint64_t cluster_id);
  // Says that the store is so many revisions older than it is.
  void PretendRevisionsBack(int64_t revisions);
  int calls(const std::string& method) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string address_;
};

}  // namespace paramo::test
