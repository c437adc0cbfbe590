// The fixture of the tests of ReplicaSets.
#pragma once

#include <gtest/gtest.h>

#include "server/coordinator/replica_sets.h"

namespace paramo {

class ReplicaSetsTest : public ::testing::Test {
 protected:
  static ReplicaSetsOptions Options(uint32_t shards, uint32_t replicas,
                                    uint32_t servers) {
    ReplicaSetsOptions options;
    options.shard_count = shards;
    options.replicas = replicas;
    options.servers_expected = servers;
    return options;
  }
  void Up(ReplicaSets& sets, uint32_t server) {
    sets.ServerUp(Life(server), now_);
  }
  static ServerLife Life(uint32_t server) { return {server, server * 10}; }

  static ReplicaNews News(const ReplicaSets& sets, ReplicaNews::Kind kind,
                          uint32_t from, uint32_t peer = 0) {
    ReplicaNews news;
    news.kind = kind;
    news.from = Life(from);
    news.epoch = sets.sets()[0].epoch;
    news.peer = Life(peer);
    return news;
  }
  static ReplicaNews Answer(const ReplicaSets& sets, uint32_t from,
                            Epoch last_epoch, Lsn last_lsn) {
    ReplicaNews news = News(sets, ReplicaNews::Kind::kFenced, from);
    news.last_epoch = last_epoch;
    news.last_lsn = last_lsn;
    return news;
  }
  // One shard on servers 1, 2, 3, led by 1.
  ReplicaSets Three() {
    ReplicaSets sets(Options(1, 3, 3));
    for (uint32_t server : {1, 2, 3}) Up(sets, server);
    sets.TakeChanged();
    EXPECT_EQ(sets.sets()[0].primary, 1u);
    return sets;
  }
  void Fence(ReplicaSets& sets, uint32_t dead) {
    sets.ServerDown(Life(dead), now_);
    sets.Tick(now_);
    ASSERT_TRUE(sets.sets()[0].fencing);
  }

  absl::Duration now_ = absl::Seconds(1000);
};

}  // namespace paramo
