#include "server/service/shard_host.h"

#include <gtest/gtest.h>

#include "paramo/v1/cluster.pb.h"
#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

class ShardHostTest : public ::testing::Test {
 protected:
  static ClusterView View(size_t shards) {
    ClusterView view;
    view.shards.assign(shards, {/*epoch=*/1, /*history=*/7, 1, "here:1"});
    view.state = std::make_shared<v1::ClusterState>();
    return view;
  }

  TempDir dir_;
  std::unique_ptr<RowStore> rows_ = *RowStore::Open(dir_.path(), {});
  std::unique_ptr<MetaStore> meta_ = *MetaStore::Open(dir_.path());
  FakeClock clock_;
  MetricsRegistry metrics_;
  ShardCounters counters_{metrics_};
  ShardHost host_{*rows_, *meta_, clock_, counters_};
};

// Shards look their configuration up by their number.
TEST_F(ShardHostTest, RefusesAStateWithAnotherNumberOfShards) {
  ASSERT_TRUE(host_.Apply(View(2), /*server_id=*/1).ok());
  for (size_t shards : {1, 4}) {
    EXPECT_EQ(host_.Apply(View(shards), 1).code(),
              absl::StatusCode::kFailedPrecondition)
        << shards;
  }
  EXPECT_TRUE(host_.Apply(View(2), 1).ok());
  EXPECT_EQ(host_.shards().size(), 2u);
}

}  // namespace
}  // namespace paramo
