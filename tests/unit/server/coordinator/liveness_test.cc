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

TEST(Liveness, Rule3_6_SilenceBeginsWithTheFirstProbeThatIsNotAnswered) {
  Liveness liveness;
  liveness.Track(1, 11, absl::ZeroDuration());
  for (int ms : {100, 150, 200, 250}) liveness.Asked(1, 11, ms * kMs);
  liveness.Answered(1, 11,
                    150 * kMs);  // late, and nothing of what is behind it
  EXPECT_THAT(liveness.FindUnanswering(200 * kMs + kProbeLate), IsEmpty());
  auto found = liveness.FindUnanswering(200 * kMs + kSuspicionTime + kMs);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].server, 1u);
  EXPECT_EQ(found[0].incarnation, 11u);
  EXPECT_EQ(found[0].silence, kSuspicionTime + kMs);
  liveness.Answered(1, 11, 250 * kMs);
  EXPECT_THAT(liveness.FindUnanswering(absl::Seconds(10)), IsEmpty());
  EXPECT_EQ(liveness.Asked(1, 11, absl::Seconds(20)), absl::ZeroDuration());
}

TEST(Liveness, WhoIsNotAskedIsNotSilent) {
  Liveness liveness;
  liveness.Track(1, 11, absl::ZeroDuration());
  EXPECT_THAT(liveness.FindUnanswering(absl::Seconds(100)), IsEmpty());
}

TEST(Liveness, AServerThatNeverAnsweredIsGivenGrace) {
  Liveness liveness;
  liveness.Track(1, 11, absl::ZeroDuration());
  liveness.Asked(1, 11, 10 * kMs);
  EXPECT_THAT(liveness.FindUnanswering(kProbeGrace + kProbeLate), IsEmpty());
  EXPECT_EQ(liveness.FindUnanswering(kProbeGrace + kProbeLate + kMs).size(),
            1u);
  liveness.Track(1, 12, absl::Seconds(5));  // another life, asked anew
  EXPECT_THAT(liveness.FindUnanswering(absl::Seconds(100)), IsEmpty());
  liveness.Asked(1, 11, absl::Seconds(6));  // of the past: ignored
  EXPECT_THAT(liveness.FindUnanswering(absl::Seconds(100)), IsEmpty());
}

TEST(Liveness, ManyProbesAreNotRemembered) {
  Liveness liveness;
  liveness.Track(1, 11, absl::ZeroDuration());
  liveness.Asked(1, 11, kMs);
  liveness.Answered(1, 11, kMs);
  absl::Duration silence;
  for (int i = 1; i <= 1000; ++i) silence = liveness.Asked(1, 11, i * 50 * kMs);
  EXPECT_EQ(silence, 999 * 50 * kMs);
  liveness.Answered(1, 11, 1000 * 50 * kMs);
  EXPECT_THAT(liveness.FindUnanswering(absl::Seconds(100)), IsEmpty());
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
