// Histories that are right, and histories that are wrong in one way each: a
// checker that has never failed proves nothing.
#include "tests/chaos/oracle.h"

#include <gtest/gtest.h>

#include <set>

#include "common/base/random.h"
#include "common/routing/routing.h"

namespace paramo::chaos {
namespace {

constexpr uint64_t kPushes = 100;

History Outcomes(const std::string& letters) {
  History history;
  for (char letter : letters) {
    history.push_back({1, 2, static_cast<Outcome>(letter)});
  }
  return history;
}

// Rows after these pushes were applied so many times each, to all four rows.
ClientRows Applied(const std::vector<int>& times) {
  ClientRows rows;
  for (size_t n = 0; n < times.size(); ++n) {
    const float count = static_cast<float>(times[n]);
    rows.own.push_back(count);
    rows.counter += count;
    for (auto& side : rows.pairs) side[n % kPairs] += count;
  }
  return rows;
}

class OracleTest : public testing::Test {
 protected:
  // A hundred acked pushes, applied once each.
  const History history_ = Outcomes(std::string(kPushes, 'K'));
  ClientRows rows_ = Applied(std::vector<int>(kPushes, 1));

  Verdict Judged() const { return Judge(history_, rows_); }
};

TEST_F(OracleTest, EveryAckedPushOnceIsClean) {
  const Verdict verdict = Judged();
  EXPECT_TRUE(verdict.clean());
  EXPECT_EQ(verdict.attempted, kPushes);
  EXPECT_EQ(verdict.acked, kPushes);
  EXPECT_EQ(verdict.found, kPushes);
}

TEST_F(OracleTest, AnAckedPushThatIsNotThereIsLost) {
  std::vector<int> times(kPushes, 1);
  times[17] = times[64] = 0;
  rows_ = Applied(times);
  EXPECT_EQ(Judged().lost, 2u);
  EXPECT_EQ(Judged().found, kPushes - 2);
  EXPECT_EQ(Judged().duplicated, 0u);
}

TEST_F(OracleTest, APushAppliedTwiceIsADuplicate) {
  std::vector<int> times(kPushes, 1);
  times[3] = 2;
  times[4] = 3;
  rows_ = Applied(times);
  EXPECT_EQ(Judged().duplicated, 3u);
  EXPECT_EQ(Judged().lost, 0u);
}

// One shard alone went wrong: the one with the counter, or one side of a pair.
TEST_F(OracleTest, ALossThatOnlyTheCounterSeesIsSeen) {
  rows_.counter -= 5;
  EXPECT_EQ(Judged().lost, 5u);
}
TEST_F(OracleTest, ADuplicateThatOnlyTheCounterSeesIsSeen) {
  rows_.counter += 1;
  EXPECT_EQ(Judged().duplicated, 1u);
}
TEST_F(OracleTest, ALossOnOneSideOfAPairIsSeen) {
  rows_.pairs[1][3] -= 2;
  rows_.pairs[0][5] -= 1;
  EXPECT_EQ(Judged().lost, 3u);
}
TEST_F(OracleTest, ADuplicateOnOneSideOfAPairIsSeen) {
  rows_.pairs[0][0] += 1;
  EXPECT_EQ(Judged().duplicated, 1u);
}
TEST_F(OracleTest, ALossInOneRowIsNotMadeUpByADuplicateInAnother) {
  rows_.own[1] = 0;
  rows_.own[2] = 2;  // the sum is right
  EXPECT_EQ(Judged().lost, 1u);
  EXPECT_EQ(Judged().duplicated, 1u);
}
TEST_F(OracleTest, TheSameLossSeenByThreeRowsCountsOnce) {
  std::vector<int> times(kPushes, 1);
  times[9] = 0;
  rows_ = Applied(times);
  EXPECT_EQ(Judged().lost, 1u);
}

TEST_F(OracleTest, AValueThatIsNoCountIsUnexpected) {
  for (float wrong :
       {0.5f, -1.0f, 0x1p24f, std::numeric_limits<float>::quiet_NaN()}) {
    rows_.own[7] = wrong;
    EXPECT_EQ(Judged().unexpected, 1u) << wrong;
  }
}

TEST(Oracle, AnUnknownPushIsThereOnceOrNotAtAll) {
  const History history = Outcomes("UAUAUA");  // killed clients leave 'A'
  Verdict verdict = Judge(history, Applied({0, 0, 1, 1, 0, 1}));
  EXPECT_TRUE(verdict.clean());
  EXPECT_EQ(verdict.unknown, 6u);
  EXPECT_EQ(verdict.recovered, 3u);
  verdict = Judge(history, Applied({2, 0, 0, 0, 0, 0}));
  EXPECT_EQ(verdict.duplicated, 1u);
}

TEST(Oracle, AnUnknownPushMayBeAppliedOnSomeShards) {
  ClientRows rows = Applied({0});
  rows.counter = 1;
  rows.pairs[1][0] = 1;
  EXPECT_TRUE(Judge(Outcomes("U"), rows).clean());
}

TEST(Oracle, AFailedPushThatIsThereIsUnexpected) {
  EXPECT_TRUE(Judge(Outcomes("KF"), Applied({1, 0})).clean());
  const Verdict verdict = Judge(Outcomes("KF"), Applied({1, 1}));
  EXPECT_EQ(verdict.unexpected, 1u);
  EXPECT_EQ(verdict.duplicated, 0u);
}

TEST(Oracle, SumsAddUp) {
  Verdict sum;
  sum += Judge(Outcomes("KKFU"), Applied({1, 0, 0, 1}));
  sum += Judge(Outcomes("KA"), Applied({2, 0}));
  EXPECT_EQ(sum.attempted, 6u);
  EXPECT_EQ(sum.acked, 3u);
  EXPECT_EQ(sum.failed, 1u);
  EXPECT_EQ(sum.unknown, 2u);
  EXPECT_EQ(sum.lost, 1u);
  EXPECT_EQ(sum.found, 2u);
  EXPECT_EQ(sum.duplicated, 1u);
  EXPECT_EQ(sum.recovered, 1u);
  EXPECT_FALSE(sum.clean());
}

// Any history, applied as it says, is clean; with one acked push less it never
// is.
TEST(Oracle, RandomHistories) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    BitGen random(seed);
    std::string letters;
    std::vector<int> times;
    for (uint64_t n = 0, count = 1 + random.Below(60); n < count; ++n) {
      const char letter = "KFUA"[random.Below(4)];
      letters.push_back(letter);
      times.push_back(letter == 'K'   ? 1
                      : letter == 'F' ? 0
                                      : static_cast<int>(random.Below(2)));
    }
    ASSERT_TRUE(Judge(Outcomes(letters), Applied(times)).clean()) << seed;
    const size_t victim = letters.find('K');
    if (victim == std::string::npos) continue;
    times[victim] = 0;
    EXPECT_EQ(Judge(Outcomes(letters), Applied(times)).lost, 1u) << seed;
  }
}

TEST(Oracle, SidesOfAPairLieOnDifferentShards) {
  std::set<Key> keys;
  for (uint32_t client = 1; client <= 50; ++client) {
    for (uint32_t pair = 0; pair < kPairs; ++pair) {
      const auto [a, b] = PairKeys(7, 16, client, pair);
      EXPECT_NE(ShardOf(7, a, 16), ShardOf(7, b, 16));
      keys.insert(a);
      keys.insert(b);
    }
  }
  EXPECT_EQ(keys.size(), 50u * kPairs * 2);
}

}  // namespace
}  // namespace paramo::chaos
