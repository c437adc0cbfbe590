// That several shards agree on who contributed to which round, whoever dies in
// the middle of what (docs/adr/0002).
#include "tests/unit/server/agreement/agreement_sim.h"

namespace paramo {
namespace {

using Decisions = AgreementSim::Decisions;

TEST(AgreementTest, FromTheDecidedRoundOnNoShardCountsTheDead) {
  AgreementSim::Findings all;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    AgreementSim sim(seed, Decisions::kWhenShardsStandStill);
    sim.Run();
    const AgreementSim::Findings& found = sim.findings();
    ASSERT_FALSE(found.stuck);
    ASSERT_EQ(found.after_death, 0u) << found.first;
    ASSERT_EQ(found.rounds_differ, 0u) << found.first;
    ASSERT_EQ(found.lost, 0u) << found.first;
    ASSERT_EQ(found.wrong_sums, 0u) << found.first;
    all.rounds += found.rounds;
    all.deaths += found.deaths;
    all.split_deaths += found.split_deaths;
    all.dropped += found.dropped;
    all.comebacks += found.comebacks;
    all.restarts += found.restarts;
  }
  printf(
      "%lu rounds, %lu deaths, %lu of them split a step, %lu contributions "
      "dropped, %lu came back, %lu restarts\n",
      all.rounds, all.deaths, all.split_deaths, all.dropped, all.comebacks,
      all.restarts);
  // The runs meant something.
  EXPECT_GT(all.split_deaths, 100u);
  EXPECT_GT(all.dropped, 100u);
  EXPECT_GT(all.comebacks, 300u);
  EXPECT_GT(all.restarts, 300u);
}

// The comparison can fail: a coordinator that names the highest round it has
// heard of, without the shards standing still, is caught, by the dead's last
// contribution and by where newcomers begin.
TEST(AgreementTest, CatchesADecisionMadeAtOnce) {
  uint64_t after_death = 0;
  uint64_t rounds_differ = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    AgreementSim sim(seed, Decisions::kAtOnce);
    sim.Run();
    after_death += sim.findings().after_death;
    rounds_differ += sim.findings().rounds_differ;
  }
  printf("%lu counted after death, %lu differ\n", after_death, rounds_differ);
  EXPECT_GT(after_death, 0u);
  EXPECT_GT(rounds_differ, 0u);
}

}  // namespace
}  // namespace paramo
