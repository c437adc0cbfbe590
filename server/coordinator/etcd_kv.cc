// Ranges, transactions, leases. Watches are in etcd_watch.cc, the choice of
// endpoints in etcd_client.cc.
#include "server/coordinator/etcd_kv.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/coordinator/etcd_kv_internal.h"

namespace paramo {
namespace {

// Keys of one page: 32 values of the largest transaction are 47 MiB, below the
// 64 MiB that a message may have.
constexpr int64_t kPageKeys = 32;

}  // namespace

std::string EtcdKv::FullKey(absl::string_view key) const {
  return absl::StrCat(prefix_, key);
}

KvEntry FromEtcdEntry(const etcdserverpb::KeyValue& kv, size_t strip) {
  return {kv.key().substr(std::min(strip, kv.key().size())), kv.value(),
          kv.create_revision(), kv.mod_revision(), kv.lease()};
}

absl::Status EtcdKv::CheckRevision(int64_t floor, int64_t revision) {
  if (revision < floor) {
    return absl::DataLossError(absl::StrCat(
        "etcd is at revision ", revision, " after ", floor,
        ": it was restored from an older copy, which Paramo does not know how "
        "to follow; restart every coordinator and server to accept it"));
  }
  int64_t newest = newest_revision_.load();
  while (newest < revision &&
         !newest_revision_.compare_exchange_weak(newest, revision)) {
  }
  return absl::OkStatus();
}

// ---- Range ------------------------------------------------------------------

absl::StatusOr<bool> EtcdKv::ReadPage(etcdserverpb::RangeRequest& request,
                                      KvRange& range) {
  const int64_t floor = newest_revision_.load();
  etcdserverpb::RangeResponse response;
  absl::Status header;
  PARAMO_RETURN_IF_ERROR(client_.Call(
      Repeat::kYes, [&](EtcdEndpoint& endpoint, grpc::ClientContext& context) {
        grpc::Status status = endpoint.kv->Range(&context, request, &response);
        header = status.ok() ? client_.CheckHeader(endpoint, response.header())
                             : absl::OkStatus();
        return status;
      }));
  PARAMO_RETURN_IF_ERROR(header);
  PARAMO_RETURN_IF_ERROR(CheckRevision(floor, response.header().revision()));
  if (request.revision() == 0) {
    range.revision = response.header().revision();
    request.set_revision(range.revision);  // all pages of one moment
  }
  for (const etcdserverpb::KeyValue& kv : response.kvs()) {
    range.entries.push_back(FromEtcdEntry(kv, prefix_.size()));
  }
  if (!response.more() || response.kvs().empty()) return false;
  request.set_key(response.kvs().rbegin()->key() + std::string(1, '\0'));
  return true;
}

absl::StatusOr<KvRange> EtcdKv::Range(absl::string_view prefix) {
  etcdserverpb::RangeRequest request;
  request.set_key(FullKey(prefix));
  request.set_range_end(EtcdPrefixEnd(request.key()));
  request.set_limit(kPageKeys);
  KvRange range;
  for (bool more = true; more;) {
    PARAMO_ASSIGN_OR_RETURN(more, ReadPage(request, range));
  }
  return range;
}

// ---- Transactions -----------------------------------------------------------

etcdserverpb::TxnRequest EtcdKv::ToRequest(const KvTxn& txn) const {
  etcdserverpb::TxnRequest request;
  for (const KvCompare& compare : txn.compares) {
    etcdserverpb::Compare& out = *request.add_compare();
    out.set_result(etcdserverpb::Compare::EQUAL);
    out.set_key(FullKey(compare.key));
    if (compare.target == KvCompare::Target::kCreateRevision) {
      out.set_target(etcdserverpb::Compare::CREATE);
      out.set_create_revision(compare.revision);
    } else {
      out.set_target(etcdserverpb::Compare::MOD);
      out.set_mod_revision(compare.revision);
    }
  }
  for (const KvPut& put : txn.puts) {
    etcdserverpb::PutRequest& out =
        *request.add_success()->mutable_request_put();
    out.set_key(FullKey(put.key));
    out.set_value(put.value);
    out.set_lease(put.lease);
  }
  for (const std::string& key : txn.deletes) {
    request.add_success()->mutable_request_delete_range()->set_key(
        FullKey(key));
  }
  return request;
}

absl::StatusOr<KvTxnResult> EtcdKv::Txn(const KvTxn& txn) {
  PARAMO_RETURN_IF_ERROR(CheckKvTxn(txn));
  const int64_t floor = newest_revision_.load();
  const etcdserverpb::TxnRequest request = ToRequest(txn);
  etcdserverpb::TxnResponse response;
  absl::Status header;
  PARAMO_RETURN_IF_ERROR(client_.Call(
      Repeat::kOnlyIfNothingHappened,
      [&](EtcdEndpoint& endpoint, grpc::ClientContext& context) {
        grpc::Status status = endpoint.kv->Txn(&context, request, &response);
        header = status.ok() ? client_.CheckHeader(endpoint, response.header())
                             : absl::OkStatus();
        return status;
      }));
  PARAMO_RETURN_IF_ERROR(header);
  PARAMO_RETURN_IF_ERROR(CheckRevision(floor, response.header().revision()));
  return KvTxnResult{response.succeeded(), response.header().revision()};
}

absl::Status EtcdKv::Compact(int64_t revision) {
  etcdserverpb::CompactionRequest request;
  request.set_revision(revision);
  etcdserverpb::CompactionResponse response;
  absl::Status status = client_.Call(
      Repeat::kYes, [&](EtcdEndpoint& endpoint, grpc::ClientContext& context) {
        return endpoint.kv->Compact(&context, request, &response);
      });
  // "required revision has been compacted" and "is a future revision" share a
  // code; the first is what was wanted.
  bool done = absl::IsOutOfRange(status) &&
              absl::StrContains(status.message(), "has been compacted");
  return done ? absl::OkStatus() : status;
}

// ---- Leases -----------------------------------------------------------------

absl::StatusOr<int64_t> EtcdKv::GrantLease(absl::Duration ttl) {
  if (ttl <= absl::ZeroDuration() || ttl > absl::Hours(24)) {
    return absl::InvalidArgumentError(
        "a lease lasts more than nothing and at most a day");
  }
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(absl::ToInt64Seconds(absl::Ceil(ttl, absl::Seconds(1))));
  etcdserverpb::LeaseGrantResponse response;
  // Repeated: a lease that nobody heard of ends by itself.
  PARAMO_RETURN_IF_ERROR(client_.Call(
      Repeat::kYes, [&](EtcdEndpoint& endpoint, grpc::ClientContext& context) {
        return endpoint.lease->LeaseGrant(&context, request, &response);
      }));
  return response.id();
}

absl::StatusOr<absl::Duration> EtcdKv::KeepLeaseAlive(int64_t lease) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseKeepAliveResponse response;
  PARAMO_RETURN_IF_ERROR(client_.Call(
      Repeat::kYes, [&](EtcdEndpoint& endpoint, grpc::ClientContext& context) {
        auto stream = endpoint.lease->LeaseKeepAlive(&context);
        bool answered = stream->Write(request) && stream->WritesDone() &&
                        stream->Read(&response);
        grpc::Status status = stream->Finish();
        // An answer is an answer, however the stream ended afterwards.
        if (answered) return grpc::Status::OK;
        if (!status.ok()) return status;
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "no answer");
      }));
  return absl::Seconds(std::max<int64_t>(response.ttl(), 0));
}

absl::Status EtcdKv::RevokeLease(int64_t lease) {
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseRevokeResponse response;
  absl::Status status = client_.Call(
      Repeat::kYes, [&](EtcdEndpoint& endpoint, grpc::ClientContext& context) {
        return endpoint.lease->LeaseRevoke(&context, request, &response);
      });
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

// ---- Watches ----------------------------------------------------------------

absl::StatusOr<std::unique_ptr<KvWatch>> EtcdKv::Watch(absl::string_view prefix,
                                                       int64_t from_revision) {
  if (from_revision < 1) {  // 0 would mean "from now on" to etcd
    return absl::OutOfRangeError("a watch starts at a revision above 0");
  }
  return MakeEtcdWatch(client_, FullKey(prefix), prefix_.size(), from_revision);
}

absl::StatusOr<std::unique_ptr<KvStore>> OpenEtcdKv(
    const EtcdKvOptions& options) {
  if (options.endpoints.empty()) {
    return absl::InvalidArgumentError("no etcd endpoint is named");
  }
  if (options.prefix.empty() || options.prefix.back() != '/') {
    return absl::InvalidArgumentError("the prefix in etcd ends with a slash");
  }
  return std::unique_ptr<KvStore>(std::make_unique<EtcdKv>(options));
}

}  // namespace paramo
