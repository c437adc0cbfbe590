#include "server/service/shard_host.h"

#include <gtest/gtest.h>

#include "paramo/v1/cluster.pb.h"
#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

class ShardHostTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const ClusterView> View(size_t shards) {
    auto view = std::make_shared<ClusterView>();
    ShardView shard;
    shard.config.epoch = shard.config.term = 1;
    shard.config.history = 7;
    shard.config.primary = 1;
    shard.config.in_sync = {kSelf};
    shard.address = "here:1";
    view->shards.assign(shards, shard);
    view->state = std::make_shared<v1::ClusterState>();
    return view;
  }
  static constexpr ReplicaId kSelf = {1, 91};

  std::unique_ptr<Log> OpenLog() {
    LogOptions options;
    options.path = dir_.path() + "/log";
    options.cluster_id = 1;
    options.server_id = 1;
    options.incarnation = 91;
    return *Log::Open(options);
  }

  TempDir dir_;
  std::unique_ptr<RowStore> rows_ = *RowStore::Open(dir_.path(), {});
  std::unique_ptr<MetaStore> meta_ = *MetaStore::Open(dir_.path());
  FakeClock clock_;
  MetricsRegistry metrics_;
  ShardCounters counters_{metrics_};
  ServerLog log_{OpenLog(), 1, [](const absl::Status&) {}};
  PeerLinks links_{1};
  ReplicaIo io_{*meta_, *rows_, log_.log(), links_, [](const absl::Status&) {}};
  ReportBoard reports_{[] {}};
  ShardHost host_{*rows_, {}, *meta_, clock_, counters_, [] {}};
};

// Shards look their configuration up by their number.
TEST_F(ShardHostTest, RefusesAStateWithAnotherNumberOfShards) {
  host_.SetWorld(log_, links_, io_, reports_);
  ASSERT_TRUE(host_.Apply(View(2), kSelf).ok());
  for (size_t shards : {1, 4}) {
    EXPECT_EQ(host_.Apply(View(shards), kSelf).code(),
              absl::StatusCode::kFailedPrecondition)
        << shards;
  }
  EXPECT_TRUE(host_.Apply(View(2), kSelf).ok());
  EXPECT_EQ(host_.shards().size(), 2u);
  host_.StopServing();
  io_.Stop();
  EXPECT_TRUE(log_.Stop().ok());
}

}  // namespace
}  // namespace paramo
