// A server that beats and that nobody reaches where it serves: a person sees
// which one it is.
#include <gmock/gmock.h>

#include "absl/strings/match.h"
#include "tests/chaos/proxy.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using chaos::Proxy;
using chaos::ProxyFault;

std::unique_ptr<Proxy> MakeProxy() {
  auto proxy = Proxy::Start({});
  EXPECT_TRUE(proxy.ok()) << proxy.status();
  return proxy.ok() ? *std::move(proxy) : nullptr;
}

TEST(ReachTest, AServerOutOfReachIsShown) {
  TestCluster cluster({.servers = 2, .replicas = 2, .shards = 4});
  const TempDir dir;
  const auto front = MakeProxy();
  const std::string address = MakeProxy()->address();  // nobody's any more
  front->SetTarget(address);
  const auto server = StartBinary(
      "paramo-server",
      {"--listen", address, "--advertise", front->address(), "--metrics-listen",
       "127.0.0.1:0", "--coordinator", cluster.coordinator().address(),
       "--data-dir", dir.path() + "/data"},
      dir.path() + "/log");
  auto shown = [&](const std::string& status) {
    const Ran list = RunBinary("paramo", {"server", "list", "--address",
                                          cluster.coordinator().address()});
    return absl::StrContains(list.output, front->address() + "  " + status);
  };
  auto counted = [&] {
    return cluster.coordinator().Metric(
        "paramo_coordinator_servers_out_of_reach");
  };
  EXPECT_TRUE(WaitUntil([&] { return shown("up"); }));
  EXPECT_EQ(counted(), 0);
  front->Inject(ProxyFault::kHold);
  EXPECT_TRUE(WaitUntil([&] { return shown("out of reach"); }));
  EXPECT_EQ(counted(), 1);
  front->Heal();
  EXPECT_TRUE(WaitUntil([&] { return shown("up"); }));
  EXPECT_EQ(counted(), 0);
}

}  // namespace
}  // namespace paramo::test
