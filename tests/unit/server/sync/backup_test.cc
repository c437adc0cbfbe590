// What bsp with b backup workers promises, checked on random runs from seeds
// against a model that knows nothing of the policy:
//
//   1. A pull at clock c is answered only once round c - 1 has closed.
//   2. A round closes as soon as N - b of its N live members (at least one)
//      have ended it, and not before.
//   3. A contribution to a round that has closed is dropped, one to a round
//      that has not is accepted.
//   4. No worker is twice in a round.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/base/random.h"
#include "server/sync/policy.h"

namespace paramo {
namespace {

SyncSpec Bsp(uint32_t backups) {
  SyncSpec spec;
  spec.kind = SyncKind::kBsp;
  spec.backup_workers = backups;
  return spec;
}

class BackupSim {
 public:
  // The shard follows `actual`; what it does is held against `backups`. Pulls
  // are let through `early` clocks before the policy would.
  BackupSim(uint32_t actual, uint32_t backups, uint64_t seed, uint64_t early)
      : actual_(actual),
        backups_(backups),
        early_(early),
        gen_(seed),
        policy_(MakeSyncPolicy(Bsp(actual))) {
    for (uint64_t i = 0; i < 3 + seed % 4; ++i) Join();
  }

  void Step() {
    const uint64_t dice = gen_.Below(2000);
    if (dice == 0 && workers_.size() > 2) return Leave(Pick());
    if (dice == 1 && workers_.size() < 8) return Join();
    if (dice < 4) return Restart();
    const WorkerId id = Pick();
    Worker& worker = workers_.at(id);
    // The higher the id, the slower.
    if (gen_.Below(8) < id % 4 * 2) return;
    if (worker.pushing) {
      Push(id, worker);
    } else {
      Pull(worker);
    }
  }

  uint64_t pulls() const { return pulls_; }
  uint64_t rounds() const { return closed_; }
  uint64_t drops() const { return drops_; }
  const std::map<std::string, uint64_t>& violations() const {
    return violations_;
  }

 private:
  struct Worker {
    WorkerClock first = 0;
    WorkerClock clock = 0;
    bool pushing = false;
  };

  void Join() {
    Worker worker;
    worker.first = worker.clock = closed_ == 0 ? 0 : closed_ + 2;
    policy_->Join(next_id_, worker.first);
    workers_[next_id_++] = worker;
    CloseRounds();
  }
  void Leave(WorkerId id) {
    policy_->Leave(id);
    workers_.erase(id);
    CloseRounds();
  }
  void Restart() {
    auto restored = MakeSyncPolicy(Bsp(actual_));
    restored->Restore(policy_->members(), policy_->open_round(),
                      policy_->finished());
    policy_ = std::move(restored);
  }

  void Pull(Worker& worker) {
    if (!policy_->PullReady(worker.clock - std::min(worker.clock, early_))) {
      return;
    }
    ++pulls_;
    if (worker.clock > closed_) ++violations_["pull before its round closed"];
    worker.pushing = true;
  }

  void Push(WorkerId id, Worker& worker) {
    const Admission admission = policy_->AdmitPush(id, worker.clock);
    const bool late = worker.clock < closed_;
    if ((admission == Admission::kDrop) != late) {
      ++violations_[late ? "late one accepted" : "one in time dropped"];
    }
    if (admission == Admission::kAccumulate) ended_[worker.clock].insert(id);
    policy_->EndClock(id, worker.clock);
    if (policy_->AdmitPush(id, worker.clock) == Admission::kAccumulate) {
      ++violations_["twice in a round"];
    }
    worker.pushing = false;
    ++worker.clock;
    CloseRounds();
    if (!late) return;
    ++drops_;
    worker.clock = std::max(worker.clock, closed_);  // the reply tells it
  }

  // Live members of the open round, and those of them that ended it.
  void Count(size_t& needed, size_t& ended) const {
    size_t members = 0;
    ended = 0;
    for (const auto& [id, worker] : workers_) {
      if (worker.first > closed_) continue;
      ++members;
      auto round = ended_.find(closed_);
      if (round != ended_.end()) ended += round->second.count(id);
    }
    needed = members - std::min<size_t>(backups_, members - (members > 0));
  }

  void CloseRounds() {
    size_t needed = 0;
    size_t ended = 0;
    while (auto round = policy_->CompleteRound()) {
      if (*round != closed_) ++violations_["out of order"];
      Count(needed, ended);
      if (ended < needed) ++violations_["closed too early"];
      policy_->CloseRound(*round);
      ended_.erase(closed_++);
    }
    Count(needed, ended);
    if (needed > 0 && ended >= needed) ++violations_["held up"];
  }

  WorkerId Pick() {
    return std::next(workers_.begin(), gen_.Below(workers_.size()))->first;
  }

  const uint32_t actual_;
  const uint32_t backups_;
  const uint64_t early_;
  BitGen gen_;
  std::unique_ptr<SyncPolicy> policy_;
  std::map<WorkerId, Worker> workers_;
  std::map<WorkerClock, std::set<WorkerId>> ended_;  // open rounds
  WorkerClock closed_ = 0;  // rounds closed; the model's own count
  WorkerId next_id_ = 0;
  uint64_t pulls_ = 0;
  uint64_t drops_ = 0;
  std::map<std::string, uint64_t> violations_;
};

TEST(BackupTest, KeepsWhatItPromises) {
  for (uint32_t backups : {1u, 2u}) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      SCOPED_TRACE(testing::Message() << "b " << backups << ", seed " << seed);
      BackupSim sim(backups, backups, seed, /*early=*/0);
      uint64_t steps = 0;
      while (sim.pulls() < 20'000) {
        sim.Step();
        ASSERT_TRUE(sim.violations().empty())
            << sim.violations().begin()->first;
        ASSERT_LT(++steps, 10'000'000u) << "the job is stuck";
      }
      EXPECT_GT(sim.rounds(), 1000u);
      EXPECT_GT(sim.drops(), 100u);
    }
  }
}

// Shards that wait for one worker less or more than they should, or let pulls
// through a clock early, are caught.
TEST(BackupTest, TheCheckCanFail) {
  const auto violations = [](uint32_t actual, uint32_t promised,
                             uint64_t early) {
    BackupSim sim(actual, promised, /*seed=*/1, early);
    for (int i = 0; i < 100'000; ++i) sim.Step();
    return sim.violations();
  };
  EXPECT_GT(violations(2, 1, 0)["closed too early"], 0u);
  EXPECT_GT(violations(0, 1, 0)["held up"], 0u);
  EXPECT_GT(violations(1, 1, 1)["pull before its round closed"], 0u);
}

}  // namespace
}  // namespace paramo
