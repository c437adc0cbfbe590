#include "server/coordinator/liveness.h"

#include "gmock/gmock.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr absl::Duration kMs = absl::Milliseconds(1);

TEST(Liveness, AServerIsSilentAfterTheSuspicionTime) {
  Liveness liveness;
  liveness.Track(1, 11, absl::ZeroDuration());
  liveness.Track(2, 22, absl::ZeroDuration());
  ASSERT_TRUE(liveness.Hear(2, 22, 0, 100 * kMs).ok());
  EXPECT_THAT(liveness.FindSilent(kSuspicionTime), IsEmpty());
  auto silent = liveness.FindSilent(kSuspicionTime + kMs);
  ASSERT_EQ(silent.size(), 1u);
  EXPECT_EQ(silent[0].server, 1u);
  EXPECT_EQ(silent[0].incarnation, 11u);
}

TEST(Liveness, GraceDelaysSuspicion) {
  Liveness liveness;
  liveness.Track(1, 11, absl::ZeroDuration(), /*grace=*/kSuspicionTime);
  EXPECT_THAT(liveness.FindSilent(2 * kSuspicionTime), IsEmpty());
  EXPECT_EQ(liveness.FindSilent(2 * kSuspicionTime + kMs).size(), 1u);
}

TEST(Liveness, OnlyTheTrackedIncarnationIsHeard) {
  Liveness liveness;
  EXPECT_CODE(kNotFound, liveness.Hear(1, 11, 0, kMs));
  liveness.Track(1, 11, kMs);
  EXPECT_CODE(kNotFound, liveness.Hear(1, 12, 0, kMs));
  liveness.Track(1, 12, kMs);
  EXPECT_CODE(kNotFound, liveness.Hear(1, 11, 0, kMs));
  liveness.Forget(1, 11);  // of the past: ignored
  EXPECT_TRUE(liveness.Hear(1, 12, 0, kMs).ok());
  liveness.Forget(1, 12);
  EXPECT_CODE(kNotFound, liveness.Hear(1, 12, 0, kMs));
}

TEST(Liveness, AHeartbeatThatArrivesLateDoesNotTurnTimeBack) {
  Liveness liveness;
  liveness.Track(1, 11, 500 * kMs);
  ASSERT_TRUE(liveness.Hear(1, 11, 0, 100 * kMs).ok());
  EXPECT_THAT(liveness.FindSilent(800 * kMs), IsEmpty());
}

// A server 1, and a server 2 that answers.
class ProbedLiveness {
 public:
  ProbedLiveness() {
    liveness.Track(1, 11, absl::ZeroDuration());
    liveness.Track(2, 22, absl::ZeroDuration());
  }
  std::vector<Liveness::Silent> FindAt(absl::Duration now) {
    liveness.Asked(2, 22, now);
    liveness.Answered(2, 22, now, now);
    return liveness.FindUnanswering(now);
  }
  Liveness liveness;
};

TEST(Liveness, Rule3_6_SilenceBeginsWithTheFirstProbeThatIsNotAnswered) {
  ProbedLiveness probed;
  for (int ms : {100, 150, 200, 250}) probed.liveness.Asked(1, 11, ms * kMs);
  // Late, and nothing of what is behind it.
  probed.liveness.Answered(1, 11, 150 * kMs, 260 * kMs);
  EXPECT_THAT(probed.FindAt(200 * kMs + kProbeLate), IsEmpty());
  auto found = probed.FindAt(200 * kMs + kProbeSuspicion + kMs);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].server, 1u);
  EXPECT_EQ(found[0].incarnation, 11u);
  EXPECT_EQ(found[0].silence, kProbeSuspicion + kMs);
  probed.liveness.Answered(1, 11, 250 * kMs, 900 * kMs);
  EXPECT_THAT(probed.FindAt(absl::Seconds(10)), IsEmpty());
  EXPECT_EQ(probed.liveness.Asked(1, 11, absl::Seconds(20)),
            absl::ZeroDuration());
}

TEST(Liveness, WhoWorksForOthersIsBusyAndNotOutOfReach) {
  ProbedLiveness probed;
  probed.liveness.Answered(1, 11, kMs, kMs);
  probed.liveness.Asked(1, 11, 100 * kMs);
  const auto beat = [&](absl::Duration now, uint64_t progress) {
    ASSERT_TRUE(probed.liveness.Hear(1, 11, 0, now, {}, progress).ok());
  };
  beat(1000 * kMs, 7);
  EXPECT_THAT(probed.FindAt(1000 * kMs + kProbeLate), IsEmpty());
  beat(1200 * kMs, 7);  // nothing more
  auto found = probed.FindAt(1000 * kMs + kProbeSuspicion + kMs);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].silence, kProbeSuspicion + kMs);
  // Not for ever: somebody may reach it, and others not.
  beat(100 * kMs + kBusyPatience, 8);
  EXPECT_THAT(probed.FindAt(100 * kMs + kBusyPatience), IsEmpty());
  beat(101 * kMs + kBusyPatience, 9);
  EXPECT_EQ(probed.FindAt(101 * kMs + kBusyPatience).size(), 1u);
}

TEST(Liveness, WhoIsNotAskedIsNotSilent) {
  EXPECT_THAT(ProbedLiveness().FindAt(absl::Seconds(100)), IsEmpty());
}

TEST(Liveness, SilenceOfAllIsNobodys) {
  Liveness liveness;
  for (uint32_t server : {1, 2}) {
    liveness.Track(server, 11, absl::ZeroDuration());
    liveness.Asked(server, 11, 10 * kMs);
    liveness.Answered(server, 11, 10 * kMs, 20 * kMs);
    liveness.Asked(server, 11, 60 * kMs);
  }
  EXPECT_THAT(liveness.FindUnanswering(absl::Seconds(9)), IsEmpty());
  liveness.Answered(2, 11, 60 * kMs, absl::Seconds(9));
  EXPECT_EQ(liveness.FindUnanswering(absl::Seconds(9)).size(), 1u);
}

TEST(Liveness, AServerThatNeverAnsweredIsGivenGrace) {
  ProbedLiveness probed;
  probed.liveness.Asked(1, 11, 10 * kMs);
  EXPECT_THAT(probed.FindAt(kProbeGrace + kProbeLate), IsEmpty());
  EXPECT_EQ(probed.FindAt(kProbeGrace + kProbeLate + kMs).size(), 1u);
  // Another life is asked anew; the one before is of the past.
  probed.liveness.Track(1, 12, absl::Seconds(5));
  EXPECT_THAT(probed.FindAt(absl::Seconds(100)), IsEmpty());
  probed.liveness.Asked(1, 11, absl::Seconds(101));
  EXPECT_THAT(probed.FindAt(absl::Seconds(200)), IsEmpty());
}

TEST(Liveness, OfManyProbesTheFirstIsRemembered) {
  ProbedLiveness probed;
  probed.liveness.Answered(1, 11, kMs, kMs);
  for (int i = 1; i <= 1000; ++i) probed.liveness.Asked(1, 11, i * 50 * kMs);
  const auto found = probed.FindAt(absl::Seconds(60));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].silence, absl::Seconds(60) - 50 * kMs);
  probed.liveness.Answered(1, 11, 1000 * 50 * kMs, absl::Seconds(60));
  EXPECT_THAT(probed.FindAt(absl::Seconds(100)), IsEmpty());
}

TEST(Liveness, KnowsWhoIsBehindAVersion) {
  Liveness liveness;
  liveness.Track(1, 11, absl::ZeroDuration());
  liveness.Track(2, 22, absl::ZeroDuration());
  EXPECT_TRUE(*liveness.Hear(1, 11, 5, kMs));
  EXPECT_FALSE(*liveness.Hear(1, 11, 5, kMs));
  EXPECT_FALSE(*liveness.Hear(1, 11, 4, kMs));
  EXPECT_THAT(liveness.FindBehind(5), ElementsAre(2));
  EXPECT_THAT(liveness.FindBehind(6), ElementsAre(1, 2));
  liveness.Track(1, 12, kMs);  // a new process has applied nothing
  EXPECT_THAT(liveness.FindBehind(5), ElementsAre(1, 2));
  liveness.Forget(2, 22);
  EXPECT_THAT(liveness.FindBehind(5), ElementsAre(1));
}

}  // namespace
}  // namespace paramo
