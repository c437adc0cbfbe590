// Calls to an etcd cluster: which endpoint, for how long, and what its errors
// mean. For the source files of the etcd store alone.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "etcd/etcd.grpc.pb.h"
#include "server/coordinator/etcd_kv.h"

namespace paramo {

struct EtcdEndpoint {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance;
  std::unique_ptr<etcdserverpb::Auth::Stub> auth;
  // Has told us that it belongs to our etcd cluster. Relaxed: a wrong guess
  // asks once more.
  std::atomic<bool> checked{false};
};

// Owns one channel per endpoint; all are tried, beginning with the one that
// answered last. Threads: any.
class EtcdClient {
 public:
  explicit EtcdClient(const EtcdKvOptions& options);

  // One call to one endpoint, in `context`, whose deadline is set.
  using Attempt =
      std::function<grpc::Status(EtcdEndpoint&, grpc::ClientContext& context)>;
  // What may be asked a second time when the first answer is missing.
  enum class Repeat { kYes, kOnlyIfNothingHappened };

  // Until one endpoint answers or the time is up.
  absl::Status Call(Repeat repeat, const Attempt& attempt);

  // The endpoint to use next, connected and checked.
  absl::StatusOr<EtcdEndpoint*> Connect(absl::Time deadline);
  // It did not do well: others first.
  void Avoid(const EtcdEndpoint& endpoint);

  // Whether an answer comes from our etcd cluster. The first one seen is ours.
  absl::Status CheckHeader(const EtcdEndpoint& endpoint,
                           const etcdserverpb::ResponseHeader& header);

  // What every call carries.
  void Prepare(grpc::ClientContext& context);
  // etcd forgets tokens: the next connection asks for another one.
  void ForgetToken();

  const EtcdKvOptions& options() const { return options_; }

 private:
  absl::Status ConnectTo(EtcdEndpoint& endpoint, absl::Time deadline);
  absl::Status CannotConnect(EtcdEndpoint& endpoint) const;
  absl::Status Check(EtcdEndpoint& endpoint);
  absl::Status Authenticate(EtcdEndpoint& endpoint);
  std::string Token();

  const EtcdKvOptions options_;
  std::deque<EtcdEndpoint> endpoints_;  // fixed at construction
  std::atomic<size_t> current_{0};      // relaxed: a hint
  std::atomic<uint64_t> cluster_id_{0};

  Mutex mu_;
  std::string token_ ABSL_GUARDED_BY(mu_);  // in place of the password
};

// etcd's error as ours, with the endpoint in front.
absl::Status FromEtcd(const grpc::Status& status, const EtcdEndpoint& endpoint);

// The end of the range of all keys with that prefix.
std::string EtcdPrefixEnd(std::string prefix);

}  // namespace paramo
