// Power losses at random moments, again and again on one disk: what was
// reported as synced is there, and no shard is called damaged.
#include "common/base/random.h"
#include "tests/unit/server/log/log_test_util.h"

namespace paramo {
namespace {

class LogPowerLossTest : public LogTest {
 protected:
  static constexpr ShardId kShards = 4;

  // Random appends until the power goes. What the log does after that moment is
  // forgotten.
  void RunOnce(BitGen& gen, int life) {
    const std::string boot = absl::StrCat("boot-", life);
    LogOptions options = Options(disk_, boot);
    options.segment_bytes = kLogSegmentBytesMin << gen.Below(4);
    options.released.insert(released_.begin(), released_.end());
    auto log = Start(options);
    ASSERT_NE(log, nullptr);
    CheckRecovery();

    const uint64_t appends = gen.Below(60);
    for (uint64_t i = 0; i < appends; ++i) {
      ShardEnd& shard = shards_[gen.Below(kShards)];
      const auto level =
          gen.Below(8) == 0 ? Durability::kSynced : Durability::kWritten;
      ASSERT_TRUE(shard.Append(*log, gen.Below(3000), level).ok());
      // Sometimes wait, so that batches have one record or many.
      if (gen.Below(3) == 0) {
        ASSERT_TRUE(listener_->WaitWritten(shard.shard(), shard.lsn));
      }
      // As a server does, which stores rows when the log that explains them is
      // synced.
      if (gen.Below(20) == 0) {
        Lsn& released = released_[shard.shard()];
        released = std::max(released, listener_->synced(shard.shard()));
        log->Release(shard.shard(), released);
      }
    }
    for (ShardEnd& shard : shards_) {
      synced_[shard.shard()] =
          std::max(synced_[shard.shard()], listener_->synced(shard.shard()));
    }
    const auto left = disk_.AfterPowerLoss(gen);
    log.reset();
    for (const std::string& name : disk_.Names()) disk_.Erase(name);
    for (const auto& [name, bytes] : left) disk_.Put(name, bytes);
  }

  void CheckRecovery() {
    EXPECT_TRUE(recovery_->corruptions().empty())
        << recovery_->corruptions()[0];
    for (ShardEnd& shard : shards_) {
      const LogShardRecords& records = recovery_->Shard(shard.shard());
      EXPECT_TRUE(recovery_->DamageOf(shard.shard()).ok());
      const Lsn released = released_[shard.shard()];
      ASSERT_GE(std::max(records.last_lsn, released), synced_[shard.shard()]);
      ASSERT_LE(records.last_lsn, shard.lsn);
      if (records.last_lsn > 0) {
        EXPECT_EQ(records.last_crc, shard.crcs[records.last_lsn]);
      }
      if (records.last_lsn > released) {
        shard.Resume(*recovery_);
      } else {  // on top of what was stored
        shard.lsn = released;
        shard.crc = shard.crcs[released];
      }
    }
  }

  std::vector<ShardEnd> shards_ = {ShardEnd(0), ShardEnd(1), ShardEnd(2),
                                   ShardEnd(3)};
  std::map<ShardId, Lsn> synced_;
  std::map<ShardId, Lsn> released_;
};

TEST_F(LogPowerLossTest, WhatWasSyncedSurvives) {
  const uint64_t first_seed = MakeRandomId();
  for (uint64_t seed = first_seed; seed < first_seed + 40; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    BitGen gen(seed);
    for (const std::string& name : disk_.Names()) disk_.Erase(name);
    shards_ = {ShardEnd(0), ShardEnd(1), ShardEnd(2), ShardEnd(3)};
    synced_.clear();
    released_.clear();
    for (int life = 0; life < 8; ++life) {
      RunOnce(gen, life);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace paramo
