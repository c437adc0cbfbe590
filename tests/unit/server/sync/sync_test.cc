#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "common/base/random.h"
#include "server/sync/policy.h"

namespace paramo {
namespace {

TEST(AsyncTest, AppliesAtOnceAndNeverWaits) {
  auto policy = MakeSyncPolicy({SyncKind::kAsync});
  policy->Join(0, 0);
  EXPECT_EQ(policy->AdmitPush(0, 5), Admission::kApply);
  EXPECT_TRUE(policy->PullReady(1'000'000));
  policy->EndClock(0, 5);
  EXPECT_EQ(policy->SlowestClock(), 6u);
  EXPECT_FALSE(policy->CompleteRound().has_value());
}

TEST(AsyncTest, StrangersAreNotMembers) {
  auto policy = MakeSyncPolicy({SyncKind::kAsync});
  EXPECT_EQ(policy->AdmitPush(3, 0), Admission::kNotAMember);
}

class BspTest : public ::testing::Test {
 protected:
  void Step(WorkerId worker, WorkerClock clock) {
    EXPECT_EQ(bsp_->AdmitPush(worker, clock), Admission::kAccumulate);
    bsp_->EndClock(worker, clock);
  }
  void Close(WorkerClock round) {
    ASSERT_EQ(bsp_->CompleteRound(), std::optional<WorkerClock>(round));
    bsp_->CloseRound(round);
  }

  std::unique_ptr<SyncPolicy> bsp_ = MakeSyncPolicy({SyncKind::kBsp});
};

TEST_F(BspTest, PullWaitsForTheRoundBefore) {
  bsp_->Join(0, 0);
  bsp_->Join(1, 0);
  EXPECT_TRUE(bsp_->PullReady(0));
  EXPECT_FALSE(bsp_->PullReady(1));
  Step(0, 0);
  EXPECT_FALSE(bsp_->CompleteRound().has_value());
  Step(1, 0);
  Close(0);
  EXPECT_TRUE(bsp_->PullReady(1));
  EXPECT_FALSE(bsp_->PullReady(2));
}

TEST_F(BspTest, NobodyWaitsForOneWhoLeft) {
  bsp_->Join(0, 0);
  bsp_->Join(1, 0);
  Step(0, 0);
  bsp_->Leave(1);
  Close(0);
  EXPECT_EQ(bsp_->AdmitPush(1, 1), Admission::kNotAMember);
}

TEST_F(BspTest, NobodyWaitsForOneWhoHasNotBegun) {
  bsp_->Join(0, 0);
  bsp_->Join(1, 3);
  Step(0, 0);
  Close(0);
  Step(0, 1);
  Close(1);
  Step(0, 2);
  Close(2);
  Step(0, 3);
  EXPECT_FALSE(bsp_->CompleteRound().has_value());
  Step(1, 3);
  Close(3);
}

TEST_F(BspTest, OneWhoJoinsBehindStartsInTheOpenRound) {
  bsp_->Join(0, 0);
  Step(0, 0);
  Close(0);
  bsp_->Join(1, 0);
  EXPECT_EQ(bsp_->AdmitPush(1, 0), Admission::kDrop);
  Step(1, 1);
  EXPECT_FALSE(bsp_->CompleteRound().has_value());
  Step(0, 1);
  Close(1);
}

TEST_F(BspTest, EndedStepsAndClosedRoundsTakeNothingMore) {
  bsp_->Join(0, 0);
  bsp_->Join(1, 0);
  Step(0, 0);
  EXPECT_EQ(bsp_->AdmitPush(0, 0), Admission::kDrop);
  Step(1, 0);
  Close(0);
  EXPECT_EQ(bsp_->AdmitPush(1, 0), Admission::kDrop);
}

TEST_F(BspTest, AJobThatNobodyIsInStandsStill) {
  EXPECT_FALSE(bsp_->CompleteRound().has_value());
  bsp_->Join(0, 0);
  bsp_->Leave(0);
  EXPECT_FALSE(bsp_->CompleteRound().has_value());
}

TEST_F(BspTest, RestoredStateGoesOn) {
  bsp_->Join(0, 0);
  bsp_->Join(1, 0);
  Step(0, 0);
  Step(1, 0);
  Close(0);
  Step(1, 1);
  auto restored = MakeSyncPolicy({SyncKind::kBsp});
  restored->Restore(bsp_->members(), bsp_->open_round(), bsp_->finished());
  EXPECT_TRUE(restored->PullReady(1));
  EXPECT_FALSE(restored->PullReady(2));
  restored->EndClock(0, 1);
  EXPECT_EQ(restored->CompleteRound(), std::optional<WorkerClock>(1));
}

// Random joins, leaves and steps: rounds close in order, none before every
// live member that is in it has ended its step, and none is held up by
// anybody else.
TEST_F(BspTest, RoundsCloseExactlyWhenTheyMay) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    BitGen gen(seed);
    auto bsp = MakeSyncPolicy({SyncKind::kBsp});
    std::map<WorkerId, WorkerClock> next;  // live members, independent model
    WorkerClock open = 0;
    WorkerId ids = 0;
    for (int step = 0; step < 500; ++step) {
      uint64_t dice = gen.Below(20);
      if (dice == 0 || next.empty()) {
        WorkerClock first = open + gen.Below(3);
        bsp->Join(ids, first);
        next[ids++] = first;
      } else if (dice == 1) {
        auto gone = std::next(next.begin(), gen.Below(next.size()));
        bsp->Leave(gone->first);
        next.erase(gone);
      } else {
        auto worker = std::next(next.begin(), gen.Below(next.size()));
        if (worker->second <= open + 3) {
          bsp->EndClock(worker->first, worker->second);
          ++worker->second;
        }
      }
      while (auto round = bsp->CompleteRound()) {
        ASSERT_EQ(*round, open);
        for (const auto& [id, clock] : next) {
          const SyncPolicy::Member& member = bsp->members().at(id);
          if (member.first > open) continue;
          ASSERT_GT(clock, open) << "worker " << id;
        }
        bsp->CloseRound(open);
        ++open;
        if (open > 2000) break;
      }
      if (next.empty()) continue;
      bool someone_missing =
          std::any_of(next.begin(), next.end(), [&](const auto& member) {
            return bsp->members().at(member.first).first <= open &&
                   member.second <= open;
          });
      EXPECT_TRUE(someone_missing) << "round " << open << " held up";
    }
  }
}

}  // namespace
}  // namespace paramo
