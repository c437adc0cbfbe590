// What a pull may see, checked on ten million pulls: every worker writes its
// clock in its own row, and no pull at clock c may find a live worker's row
// older than its policy allows. Random delays, deaths, joins and restarts, from
// printed seeds; several shards, each deciding by itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "server/sync/policy.h"

namespace paramo {
namespace {

// One shard: a policy, the rows (worker -> clocks written, i.e. steps ended and
// visible), and contributions of rounds that are not closed.
struct ShardModel {
  explicit ShardModel(const SyncSpec& spec)
      : spec(spec), policy(MakeSyncPolicy(spec)) {}

  void Push(WorkerId worker, WorkerClock clock) {
    switch (policy->AdmitPush(worker, clock)) {
      case Admission::kApply:
        Write(worker, clock + 1);
        break;
      case Admission::kAccumulate:
        pending[clock].push_back(worker);
        break;
      case Admission::kDrop:
      case Admission::kNotAMember:
        ++dropped;
        break;
    }
    policy->EndClock(worker, clock);
    CloseRounds();
  }

  void CloseRounds() {
    while (auto round = policy->CompleteRound()) Close(*round);
  }
  void CloseAtDeadline() {
    if (policy->RoundHasContributor()) Close(policy->open_round());
    CloseRounds();
  }
  void Close(WorkerClock round) {
    for (WorkerId worker : pending[round]) Write(worker, round + 1);
    pending.erase(round);
    policy->CloseRound(round);
  }
  void Write(WorkerId worker, WorkerClock clocks) {
    WorkerClock& row = rows[worker];
    row = std::max(row, clocks);
  }

  void Restart() {
    auto restored = MakeSyncPolicy(spec);
    restored->Restore(policy->members(), policy->open_round(), policy->finished());
    policy = std::move(restored);
  }

  SyncSpec spec;
  std::unique_ptr<SyncPolicy> policy;
  std::map<WorkerId, WorkerClock> rows;
  std::map<WorkerClock, std::vector<WorkerId>> pending;
  uint64_t dropped = 0;
};

// A worker: pulls from every shard, then pushes to every shard, in its own
// time.
struct WorkerModel {
  WorkerClock clock = 0;
  WorkerClock first = 0;
  size_t shard = 0;  // next to pull from or push to
  bool pushing = false;
};

class Simulation {
 public:
  // Shards follow `spec`; pulls are held against `promised`.
  Simulation(const SyncSpec& spec, const SyncSpec& promised, uint64_t seed,
             size_t workers)
      : spec_(promised), gen_(seed) {
    for (int i = 0; i < 3; ++i) shards_.emplace_back(spec);
    for (size_t i = 0; i < workers; ++i) Join(0);
  }

  void Join(WorkerClock first) {
    WorkerModel worker;
    for (ShardModel& shard : shards_) shard.policy->Join(next_id_, first);
    worker.first = worker.clock = first;
    workers_[next_id_++] = worker;
  }

  void Leave(WorkerId id) {
    workers_.erase(id);
    for (ShardModel& shard : shards_) {
      shard.policy->Leave(id);
      shard.rows.erase(id);
      shard.CloseRounds();
    }
  }

  // Lets one worker take one step with one shard; true when it was a pull that
  // was answered.
  bool Step() {
    uint64_t dice = gen_.Below(20000);
    if (dice == 0 && workers_.size() > 1) {
      Leave(Pick());
    } else if (dice == 1 && workers_.size() < 8) {
      WorkerClock first = 0;
      for (const auto& [id, worker] : workers_) {
        first = std::max(first, worker.clock);
      }
      Join(first + 2);
    } else if (dice < 6) {
      shards_[gen_.Below(shards_.size())].Restart();
    } else if (dice < 40 && spec_.deadline_ms > 0) {
      shards_[gen_.Below(shards_.size())].CloseAtDeadline();
    }
    // Some workers are slower: the lower the id's turn, the rarer its step.
    WorkerId id = Pick();
    if (gen_.Below(4) < id % 4) return false;
    WorkerModel& worker = workers_.at(id);
    ShardModel& shard = shards_[worker.shard];
    if (worker.pushing) {
      shard.Push(id, worker.clock);
    } else {
      if (!shard.policy->PullReady(worker.clock)) return false;
      CheckPull(id, worker, shard);
    }
    if (++worker.shard == shards_.size()) {
      worker.shard = 0;
      if (worker.pushing) ++worker.clock;
      worker.pushing = !worker.pushing;
    }
    return !worker.pushing || worker.shard == 0;
  }

  void CheckPull(WorkerId puller, const WorkerModel& me,
                 const ShardModel& shard) {
    ++pulls_;
    for (const auto& [id, worker] : workers_) {
      WorkerClock seen = 0;
      if (auto row = shard.rows.find(id); row != shard.rows.end()) {
        seen = row->second;
      }
      if (seen >= MustSee(me.clock, worker, shard, id)) continue;
      ++violations_;
      last_violation_ = "worker " + std::to_string(puller) +
                        " pulled at clock " + std::to_string(me.clock) +
                        " and saw worker " + std::to_string(id) + " at " +
                        std::to_string(seen);
    }
  }

  // Clocks of `worker` that a pull at clock c may not miss on this shard.
  WorkerClock MustSee(WorkerClock c, const WorkerModel& worker,
                      const ShardModel& shard, WorkerId id) const {
    if (spec_.kind == SyncKind::kAsync) return 0;
    if (spec_.kind == SyncKind::kSsp) {
      WorkerClock bound = c > spec_.staleness ? c - spec_.staleness : 0;
      return bound > worker.first ? bound : 0;
    }
    // Rounds: all closed rounds before c that it is part of, unless some
    // closed without it by design.
    if (spec_.backup_workers > 0 || spec_.kind == SyncKind::kRound) return 0;
    WorkerClock first = shard.policy->members().at(id).first;
    return c > first ? c : 0;
  }

  uint64_t pulls() const { return pulls_; }
  uint64_t violations() const { return violations_; }
  const std::string& last_violation() const { return last_violation_; }
  WorkerClock slowest() const {
    WorkerClock slowest = ~WorkerClock{0};
    for (const auto& [id, worker] : workers_) {
      slowest = std::min(slowest, worker.clock);
    }
    return slowest;
  }

 private:
  WorkerId Pick() {
    return std::next(workers_.begin(), gen_.Below(workers_.size()))->first;
  }

  const SyncSpec spec_;
  BitGen gen_;
  std::vector<ShardModel> shards_;
  std::map<WorkerId, WorkerModel> workers_;
  WorkerId next_id_ = 0;
  uint64_t pulls_ = 0;
  uint64_t violations_ = 0;
  std::string last_violation_;
};

struct Case {
  const char* name;
  SyncSpec spec;
};

SyncSpec Ssp(uint32_t s) {
  SyncSpec spec;
  spec.kind = SyncKind::kSsp;
  spec.staleness = s;
  return spec;
}
SyncSpec Bsp(uint32_t backups) {
  SyncSpec spec;
  spec.kind = SyncKind::kBsp;
  spec.backup_workers = backups;
  return spec;
}
SyncSpec Round(uint32_t quorum) {
  SyncSpec spec;
  spec.kind = SyncKind::kRound;
  spec.quorum = quorum;
  spec.deadline_ms = 100;
  return spec;
}

class BoundTest : public ::testing::TestWithParam<Case> {};

// 7 cases x 15 seeds x 100,000 pulls = 10.5 million.
TEST_P(BoundTest, NoPullBreaksItsBoundAndTheJobGoesOn) {
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const SyncSpec& spec = GetParam().spec;
    Simulation simulation(spec, spec, seed, 2 + seed % 5);
    uint64_t steps = 0;
    while (simulation.pulls() < 100'000) {
      simulation.Step();
      ASSERT_EQ(simulation.violations(), 0u) << simulation.last_violation();
      ASSERT_LT(++steps, 20'000'000u) << "the job is stuck";
    }
    EXPECT_GT(simulation.slowest(), 0u);
  }
}

// The checker can fail: shards that are one step too generous are caught.
TEST(BoundCheckerTest, CatchesABoundThatIsOneTooLoose) {
  for (uint32_t s : {0u, 2u}) {
    Simulation simulation(Ssp(s + 1), Ssp(s), /*seed=*/1, /*workers=*/4);
    while (simulation.pulls() < 20'000) simulation.Step();
    EXPECT_GT(simulation.violations(), 0u) << "s = " << s;
  }
  Simulation backups(Bsp(1), Bsp(0), /*seed=*/1, /*workers=*/4);
  while (backups.pulls() < 20'000) backups.Step();
  EXPECT_GT(backups.violations(), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Policies, BoundTest,
    ::testing::Values(Case{"Async", SyncSpec{}}, Case{"Ssp0", Ssp(0)},
                      Case{"Ssp1", Ssp(1)}, Case{"Ssp4", Ssp(4)},
                      Case{"Bsp", Bsp(0)}, Case{"BspBackup1", Bsp(1)},
                      Case{"RoundQuorum2", Round(2)}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace paramo
