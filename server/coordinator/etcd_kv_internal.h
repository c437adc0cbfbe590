// The etcd store's class, shared by its source files and nobody else.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "server/coordinator/etcd_client_internal.h"

namespace paramo {

class EtcdKv final : public KvStore {
 public:
  explicit EtcdKv(const EtcdKvOptions& options)
      : prefix_(options.prefix), client_(options) {}

  absl::StatusOr<KvRange> Range(absl::string_view prefix) override;
  absl::StatusOr<KvTxnResult> Txn(const KvTxn& txn) override;
  absl::StatusOr<std::unique_ptr<KvWatch>> Watch(
      absl::string_view prefix, int64_t from_revision) override;
  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override;
  absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t lease) override;
  absl::Status RevokeLease(int64_t lease) override;
  absl::Status Compact(int64_t revision) override;

 private:
  using Repeat = EtcdClient::Repeat;
  std::string FullKey(absl::string_view key) const;
  // One page of `request`, appended to `range`; moves `request` behind it.
  // False when it was the last one.
  absl::StatusOr<bool> ReadPage(etcdserverpb::RangeRequest& request,
                                KvRange& range);
  etcdserverpb::TxnRequest ToRequest(const KvTxn& txn) const;
  // etcd's revision only grows: an answer below `floor`, the newest that was
  // known before the call, comes from a store that went back in time.
  absl::Status CheckRevision(int64_t floor, int64_t revision);

  const std::string prefix_;
  EtcdClient client_;
  std::atomic<int64_t> newest_revision_{0};
};

// `strip` bytes of every key are the store's own prefix. `client` outlives it.
std::unique_ptr<KvWatch> MakeEtcdWatch(EtcdClient& client, std::string prefix,
                                       size_t strip, int64_t from_revision);

KvEntry FromEtcdEntry(const etcdserverpb::KeyValue& kv, size_t strip);

}  // namespace paramo
