// The store over a real etcd cluster, held to what every store must do.
#include "absl/time/clock.h"
#include "server/coordinator/etcd_kv.h"
#include "tests/integration/cluster/harness.h"
#include "tests/integration/etcd/etcd_cluster.h"
#include "tests/unit/server/coordinator/kv_store_conformance.h"

namespace paramo {
namespace {

class EtcdFixture final : public KvStoreFixture {
 public:
  EtcdFixture() {
    EtcdKvOptions options;
    options.endpoints = test::SharedEtcd().endpoints();
    options.prefix = "/paramo/" + test::UniqueName() + "/";
    options.call_timeout = absl::Seconds(20);  // the machine may be busy
    options.try_timeout = absl::Seconds(10);
    auto store = OpenEtcdKv(options);
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }
  KvStore& store() override { return *store_; }
  void Reopen() override { test::SharedEtcd().Restart(); }
  // Leases run on etcd's clock, which nobody can turn.
  void Pass(absl::Duration time) override { absl::SleepFor(time); }
  bool Await(const std::function<bool()>& condition) override {
    return test::WaitUntil(condition);
  }

 private:
  std::unique_ptr<KvStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Etcd, KvStoreConformance, testing::Values([] {
                           return std::make_unique<EtcdFixture>();
                         }));

}  // namespace
}  // namespace paramo
