// For tests of what lies above a KvStore: a real one in a temporary directory,
// which fails when told.
#pragma once

#include <memory>
#include <string>

#include "common/clock/clock.h"
#include "server/coordinator/embedded_kv.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {

// Passes everything to an embedded store until `fail` is set.
class FailingKv final : public KvStore {
 public:
  FailingKv() { Reopen(); }
  void Reopen() {
    kv_.reset();
    EmbeddedKvOptions options;
    options.path = dir_.path() + "/store";
    options.clock = &clock_;
    auto kv = OpenEmbeddedKv(options);
    EXPECT_TRUE(kv.ok()) << kv.status();
    kv_ = std::move(*kv);
  }

  bool fail = false;
  int txns = 0;
  // Of the next transactions: so many happen and are not answered, or do not
  // happen and are not answered either.
  int answers_lost = 0;
  int txns_lost = 0;
  FakeClock& clock() { return clock_; }

  absl::StatusOr<KvRange> Range(absl::string_view prefix) override {
    return kv_->Range(prefix);
  }
  absl::StatusOr<KvTxnResult> Txn(const KvTxn& txn) override {
    if (fail) return absl::DeadlineExceededError("disk gone");
    ++txns;
    const absl::Status unknown = absl::UnavailableError("no answer");
    if (txns_lost > 0) return --txns_lost, unknown;
    auto result = kv_->Txn(txn);
    if (answers_lost > 0) return --answers_lost, unknown;
    return result;
  }
  absl::StatusOr<std::unique_ptr<KvWatch>> Watch(absl::string_view prefix,
                                                 int64_t from) override {
    return kv_->Watch(prefix, from);
  }
  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override {
    return kv_->GrantLease(ttl);
  }
  absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t lease) override {
    return kv_->KeepLeaseAlive(lease);
  }
  absl::Status RevokeLease(int64_t lease) override {
    return kv_->RevokeLease(lease);
  }
  absl::Status Compact(int64_t revision) override {
    return kv_->Compact(revision);
  }

 private:
  TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<KvStore> kv_;
};

}  // namespace paramo
