#include "client/core/delivery.h"

#include <gtest/gtest.h>

#include <vector>

#include "client/core/errors.h"
#include "common/routing/routing.h"
#include "tests/unit/client/core/calls.h"

namespace paramo::client {
namespace {

using wire::Reason;

constexpr uint32_t kShards = 4;
const absl::Duration kStart = absl::Seconds(100);

std::vector<uint64_t> KeysOnAllShards() {
  std::vector<uint64_t> keys(kShards);
  for (ShardId shard = 0; shard < kShards; ++shard) {
    while (ShardOf(/*table=*/1, keys[shard], kShards) != shard) ++keys[shard];
  }
  return keys;
}

// One Delivery with a map, a session and a clock that stands still.
class DeliveryTest : public testing::Test {
 protected:
  DeliveryTest() { SetMap(1, 1); }
  // As the Cluster does: a queued push and its session hold each other.
  ~DeliveryTest() override { delivery_.Shutdown(effects_); }

  void SetMap(uint64_t version, uint64_t epoch) {
    delivery_.OnMap(MakeMap(MakeState(version, kShards, epoch)), now_,
                    effects_);
  }

  // A push of one key, so that it is one section.
  std::shared_ptr<Call> Push(absl::Duration deadline = absl::Seconds(30)) {
    auto call = MakeCall({PushOf(handle_, keys_, grads_, kShards)}, session_,
                         now_, now_ + deadline, kShards);
    EXPECT_EQ(call->parcels.size(), 1u);
    delivery_.Start(call, now_, effects_);
    return call;
  }
  std::shared_ptr<Call> PushToAllShards() {
    auto call = MakeCall({PushOf(handle_, all_keys_, all_grads_, kShards)},
                         session_, now_, now_ + absl::Seconds(30), kShards);
    EXPECT_EQ(call->parcels.size(), kShards);
    delivery_.Start(call, now_, effects_);
    return call;
  }
  std::shared_ptr<Call> Pull(absl::Duration deadline = absl::Seconds(30)) {
    auto call = MakeCall({PullOf(handle_, keys_, rows_, kShards)}, session_,
                         now_, now_ + deadline, kShards);
    delivery_.Start(call, now_, effects_);
    return call;
  }

  // The requests asked for since the last time, as if written.
  std::vector<Outgoing> TakeSends() {
    std::vector<Outgoing> sends = std::move(effects_.send);
    effects_.send.clear();
    for (const Outgoing& out : sends) delivery_.Release(out.call, effects_);
    return sends;
  }
  Outgoing TakeOne() {
    std::vector<Outgoing> sends = TakeSends();
    EXPECT_EQ(sends.size(), 1u);
    return sends.at(0);
  }

  static SectionResult Answer(const Outgoing& out, size_t i = 0) {
    SectionResult result;
    result.header.shard = out.sections[i].header.shard;
    result.header.epoch = out.sections[i].header.epoch;
    result.header.history = out.sections[i].header.history;
    result.header.lsn = 1;
    return result;
  }
  static SectionResult Refusal(absl::StatusCode code, Reason reason,
                               uint64_t expected_seq = 0) {
    SectionResult result;
    result.header.code = static_cast<uint32_t>(code);
    result.header.reason = static_cast<uint32_t>(reason);
    result.header.expected_seq = expected_seq;
    result.message = "refused";
    return result;
  }
  void Reply(const Outgoing& out, const SectionResult& result) {
    const Claimed claimed = delivery_.Claim(out.flight, now_, effects_);
    if (claimed.call == nullptr) return;
    delivery_.OnReply(
        claimed, std::vector<SectionResult>(claimed.parcels.size(), result),
        now_, effects_);
  }
  void Advance(absl::Duration by) {
    now_ += by;
    delivery_.Tick(now_, effects_);
  }
  // To the next thing that is due, and past it.
  void AdvanceToNextWake() {
    ASSERT_LT(delivery_.NextWake(), absl::InfiniteDuration());
    now_ = std::max(now_, delivery_.NextWake());
    delivery_.Tick(now_, effects_);
  }
  bool Done(const std::shared_ptr<Call>& call) const {
    for (const auto& done : effects_.done) {
      if (done == call) return true;
    }
    return false;
  }

  const std::shared_ptr<const TableHandle> handle_ = MakeHandle(1, 1);
  std::vector<uint64_t> keys_ = {5};
  std::vector<float> grads_ = {1};
  std::vector<float> rows_ = {0};
  std::vector<uint64_t> all_keys_ = KeysOnAllShards();
  std::vector<float> all_grads_ = std::vector<float>(kShards);
  std::shared_ptr<Session> session_ = std::make_shared<Session>(7, 1, kShards);
  absl::Duration now_ = kStart;
  Delivery delivery_{1};
  Effects effects_;
};

TEST_F(DeliveryTest, SendsOneRequestPerServer) {
  std::vector<uint64_t> keys(100);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  const std::vector<float> grads(100);
  auto call = MakeCall({PushOf(handle_, keys, grads, kShards)}, session_, now_,
                       now_ + absl::Seconds(1), kShards);
  delivery_.Start(call, now_, effects_);
  const std::vector<Outgoing> sends = TakeSends();
  ASSERT_EQ(sends.size(), 2u);
  for (const Outgoing& out : sends) {
    EXPECT_EQ(out.sections.size(), kShards / 2);
    for (const Outgoing::Section& section : out.sections) {
      EXPECT_EQ(delivery_.map()->address(section.header.shard), out.address);
      EXPECT_EQ(section.header.session, 7u);
      EXPECT_EQ(section.header.seq, 1u);
      EXPECT_EQ(section.header.epoch, 1u);
      EXPECT_EQ(section.header.history, 9u);
      EXPECT_EQ(section.header.table, 1u);
    }
  }
  for (const Outgoing& out : sends) {
    EXPECT_FALSE(Done(call));
    const Claimed claimed = delivery_.Claim(out.flight, now_, effects_);
    std::vector<SectionResult> results;
    for (size_t i = 0; i < out.sections.size(); ++i) {
      results.push_back(Answer(out, i));
    }
    delivery_.OnReply(claimed, results, now_, effects_);
  }
  EXPECT_TRUE(Done(call));
}

TEST_F(DeliveryTest, ACallIsNotDoneWhileItsMemoryIsInUse) {
  auto call = Push();
  ASSERT_EQ(effects_.send.size(), 1u);  // being written
  Advance(absl::Minutes(1));            // the deadline has passed
  EXPECT_FALSE(Done(call));
  TakeSends();  // written
  EXPECT_TRUE(Done(call));
}

TEST_F(DeliveryTest, ResendsTheSameNumberAfterABrokenConnection) {
  auto call = Push();
  const Outgoing first = TakeOne();
  delivery_.OnFailure(first.flight, absl::UnavailableError("reset"), false,
                      now_, effects_);
  EXPECT_TRUE(effects_.refresh);
  EXPECT_TRUE(TakeSends().empty());  // not at once
  AdvanceToNextWake();
  const Outgoing second = TakeOne();
  EXPECT_EQ(second.sections[0].header.seq, first.sections[0].header.seq);
  EXPECT_NE(second.flight, first.flight);
  Reply(second, Answer(second));
  EXPECT_TRUE(Done(call));
  EXPECT_TRUE(call->progress[0].error.ok());
  EXPECT_EQ(delivery_.counters().retries, 1u);
}

TEST_F(DeliveryTest, WaitsLongerAfterEachFailure) {
  Push(absl::Minutes(5));
  std::vector<absl::Duration> waits;
  for (int i = 0; i < 8; ++i) {
    const Outgoing out = TakeOne();
    delivery_.OnFailure(out.flight, absl::UnavailableError("x"), true, now_,
                        effects_);
    const absl::Duration before = now_;
    AdvanceToNextWake();
    waits.push_back(now_ - before);
  }
  // 5 ms doubling, each times [0.5, 1). The fifth failure in a row spends the
  // budget.
  absl::Duration full = absl::Milliseconds(5);
  for (size_t i = 0; i < waits.size(); ++i, full *= 2) {
    if (i >= 4) full = absl::Milliseconds(320);
    EXPECT_GE(waits[i], full / 2);
    EXPECT_LE(waits[i], full);
  }
}

// O1: a server that answers nothing is asked again as late as any, by calls
// that are new to it too.
TEST_F(DeliveryTest, O1_ManyFailuresSpendTheRetryBudgetOfAllCalls) {
  std::vector<std::shared_ptr<Call>> calls;
  const auto wait_of_new_call = [&] {
    calls.push_back(Pull(absl::Minutes(5)));
    for (const Outgoing& out : TakeSends()) {
      delivery_.OnFailure(out.flight, absl::UnavailableError("x"), true, now_,
                          effects_);
    }
    return delivery_.NextWake() - now_;
  };
  for (int i = 0; i < 4; ++i) {
    EXPECT_LE(wait_of_new_call(), absl::Milliseconds(5)) << i;
  }
  // Far from the four that come back within 5 ms.
  now_ += absl::Milliseconds(1);
  calls.push_back(Pull(absl::Minutes(5)));
  const std::vector<Outgoing> fifth = TakeSends();
  ASSERT_EQ(fifth.size(), 1u);
  delivery_.OnFailure(fifth[0].flight, absl::UnavailableError("x"), true, now_,
                      effects_);
  EXPECT_GE(calls.back()->progress[0].due - now_, absl::Milliseconds(160));

  // What is answered pays for as many.
  AdvanceToNextWake();
  for (const Outgoing& out : TakeSends()) Reply(out, Answer(out));
  Advance(absl::Seconds(1));
  for (const Outgoing& out : TakeSends()) Reply(out, Answer(out));
  for (const auto& call : calls) EXPECT_TRUE(Done(call));
  EXPECT_LE(wait_of_new_call(), absl::Milliseconds(5));
}

TEST_F(DeliveryTest, AbortedGoesOutAgainWithTheNewMap) {
  Push();
  const Outgoing first = TakeOne();
  Reply(first, Refusal(absl::StatusCode::kAborted, Reason::kWrongEpoch));
  EXPECT_TRUE(effects_.refresh);
  EXPECT_TRUE(TakeSends().empty());
  SetMap(2, 2);
  const Outgoing second = TakeOne();  // at once, without waiting
  EXPECT_EQ(second.sections[0].header.epoch, 2u);
  EXPECT_EQ(second.sections[0].header.seq, 1u);
}

TEST_F(DeliveryTest, AbortedByAServerThatIsBehindComesBackLater) {
  Push();
  Reply(TakeOne(), Refusal(absl::StatusCode::kAborted, Reason::kWrongEpoch));
  AdvanceToNextWake();
  EXPECT_EQ(TakeOne().sections[0].header.epoch, 1u);
}

TEST_F(DeliveryTest, KeysThatAreNeededGoAtOnceUnderTheSameNumber) {
  const auto call = Push();
  const Outgoing first = TakeOne();
  EXPECT_FALSE(first.sections[0].again);
  const SectionResult needs_keys =
      Refusal(absl::StatusCode::kAborted, Reason::kNeedKeys);
  Reply(first, needs_keys);
  EXPECT_FALSE(effects_.refresh);
  const Outgoing second = TakeOne();
  EXPECT_TRUE(second.sections[0].again);
  EXPECT_EQ(second.sections[0].header.seq, 1u);
  // A server that asks for what it has been sent is not asked without end.
  Reply(second, needs_keys);
  EXPECT_TRUE(TakeSends().empty());
  Advance(absl::Seconds(1));
  const Outgoing third = TakeOne();
  Reply(third, Answer(third));
  EXPECT_TRUE(Done(call));
}

TEST_F(DeliveryTest, ANewEpochResendsWhatIsInFlight) {
  auto call = Push();
  const Outgoing first = TakeOne();
  SetMap(2, 2);
  const Outgoing second = TakeOne();
  EXPECT_EQ(second.sections[0].header.seq, 1u);
  // The old answer does not count any more; the new one does.
  Reply(first, Answer(first));
  EXPECT_FALSE(Done(call));
  Reply(second, Answer(second));
  EXPECT_TRUE(Done(call));
}

TEST_F(DeliveryTest, NeverGoesBackToAnOlderMap) {
  SetMap(5, 5);
  SetMap(4, 4);
  EXPECT_EQ(delivery_.map()->version(), 5u);
}

TEST_F(DeliveryTest, OverloadWaitsAsLongAsTheServerSays) {
  auto call = Push();
  SectionResult overloaded =
      Refusal(absl::StatusCode::kResourceExhausted, Reason::kOverloaded);
  overloaded.header.retry_after_ms = 400;
  Reply(TakeOne(), overloaded);
  Advance(absl::Milliseconds(399));
  EXPECT_TRUE(TakeSends().empty());
  Advance(absl::Milliseconds(300));
  EXPECT_EQ(TakeOne().sections[0].header.seq, 1u);
  EXPECT_FALSE(Done(call));
}

TEST_F(DeliveryTest, ALimitThatWaitingDoesNotHelpIsFinal) {
  auto call = Push();
  Reply(TakeOne(),
        Refusal(absl::StatusCode::kResourceExhausted, Reason::kRows));
  ASSERT_TRUE(Done(call));
  EXPECT_EQ(call->progress[0].error.code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(TakeOne().call->filler);  // it consumed no number
}

TEST_F(DeliveryTest, ADamagedFrameIsSentAgainWithItsNumber) {
  Push();
  Reply(TakeOne(), Refusal(absl::StatusCode::kDataLoss, Reason::kChecksum, 1));
  AdvanceToNextWake();
  EXPECT_EQ(TakeOne().sections[0].header.seq, 1u);
}

TEST_F(DeliveryTest, ADefiniteRefusalConsumesTheNumber) {
  auto call = Push();
  Reply(TakeOne(), Refusal(absl::StatusCode::kInvalidArgument,
                           Reason::kNonFinite, /*expected_seq=*/2));
  ASSERT_TRUE(Done(call));
  EXPECT_TRUE(TakeSends().empty());  // nothing to fill
  Push();
  EXPECT_EQ(TakeOne().sections[0].header.seq, 2u);
  EXPECT_EQ(session_->lowest(call->parcels[0].shard), 2u);
}

TEST_F(DeliveryTest, ARefusalBeforeTheNumberWasSeenLeavesAFiller) {
  auto call = Push();
  Reply(TakeOne(), Refusal(absl::StatusCode::kInvalidArgument,
                           Reason::kDimensions, /*expected_seq=*/1));
  ASSERT_TRUE(Done(call));
  const Outgoing filler = TakeOne();
  EXPECT_TRUE(filler.call->filler);
  EXPECT_EQ(filler.sections[0].header.seq, 1u);
  EXPECT_EQ(filler.sections[0].header.table, 1u);
  const Parcel& parcel = filler.call->parcels[filler.sections[0].parcel];
  EXPECT_EQ(parcel.begin, parcel.end);
  Reply(filler, Answer(filler));
  EXPECT_EQ(session_->lowest(parcel.shard), 2u);
}

TEST_F(DeliveryTest, APushThatGivesUpIsFilledUntilItsNumberIsSettled) {
  auto call = Push(absl::Seconds(1));
  const Outgoing lost = TakeOne();
  Advance(absl::Seconds(2));
  ASSERT_TRUE(Done(call));
  EXPECT_EQ(call->progress[0].error.code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(call->progress[0].left);
  Outgoing filler = TakeOne();
  EXPECT_EQ(filler.sections[0].header.seq, 1u);
  // It has no deadline: it is resent for as long as the session lives.
  for (int i = 0; i < 20; ++i) {
    delivery_.OnFailure(filler.flight, absl::UnavailableError("down"), false,
                        now_, effects_);
    AdvanceToNextWake();
    filler = TakeOne();
  }
  // The push had arrived after all: the filler is refused, and that settles it.
  Reply(filler, Refusal(absl::StatusCode::kInvalidArgument,
                        Reason::kSeqMismatch, /*expected_seq=*/2));
  EXPECT_EQ(session_->lowest(call->parcels[0].shard), 2u);
  EXPECT_EQ(delivery_.NextWake(), absl::InfiniteDuration());
  Reply(lost, Answer(lost));  // far too late: ignored
}

// Appended by a primary that was deposed before it could commit; then refused
// by one that does not serve the shard yet. The new primary may commit it.
TEST_F(DeliveryTest, AnUnavailablePrimaryLeavesTheOutcomeOpen) {
  auto call = Push(absl::Seconds(1));
  Reply(TakeOne(),
        Refusal(absl::StatusCode::kUnavailable, Reason::kWrongEpoch));
  AdvanceToNextWake();
  Reply(TakeOne(), Refusal(absl::StatusCode::kAborted, Reason::kWrongShard));
  Advance(absl::Seconds(2));
  ASSERT_TRUE(Done(call));
  EXPECT_EQ(MakeStatus(*call, now_).applied(), Applied::kUnknown);
}

TEST_F(DeliveryTest, APushThatWasOnlyRefusedIsNotApplied) {
  auto call = Push(absl::Seconds(1));
  Reply(TakeOne(), Refusal(absl::StatusCode::kAborted, Reason::kWrongShard));
  Advance(absl::Seconds(2));
  ASSERT_TRUE(Done(call));
  EXPECT_EQ(MakeStatus(*call, now_).applied(), Applied::kNo);
}

TEST_F(DeliveryTest, APushThatNeverGotANumberLeavesNone) {
  std::vector<std::shared_ptr<Call>> calls;
  for (uint64_t i = 0; i <= kSessionWindow; ++i) {
    calls.push_back(Push(absl::Seconds(1)));
  }
  EXPECT_EQ(TakeSends().size(), kSessionWindow);
  Advance(absl::Seconds(2));
  EXPECT_TRUE(Done(calls.back()));
  EXPECT_EQ(calls.back()->progress[0].seq, 0u);
  EXPECT_FALSE(calls.back()->progress[0].left);
}

TEST_F(DeliveryTest, QueuedPushesGoOutInOrderAsTheWindowMoves) {
  std::vector<std::shared_ptr<Call>> calls;
  for (uint64_t i = 0; i < kSessionWindow + 3; ++i) calls.push_back(Push());
  std::vector<Outgoing> sends = TakeSends();
  ASSERT_EQ(sends.size(), kSessionWindow);
  Reply(sends[1], Answer(sends[1]));  // not the lowest: the window stays
  EXPECT_TRUE(TakeSends().empty());
  Reply(sends[0], Answer(sends[0]));  // now it moves by two
  const std::vector<Outgoing> more = TakeSends();
  ASSERT_EQ(more.size(), 2u);
  EXPECT_EQ(more[0].sections[0].header.seq, kSessionWindow + 1);
  EXPECT_EQ(more[0].call, calls[kSessionWindow]);
  EXPECT_EQ(more[1].sections[0].header.seq, kSessionWindow + 2);
}

// And not one for each shard whose window has moved.
TEST_F(DeliveryTest, WhatAnAnswerLetsGoOfACallIsOneRequest) {
  for (uint64_t i = 0; i < kSessionWindow; ++i) PushToAllShards();
  const std::vector<Outgoing> sends = TakeSends();
  ASSERT_EQ(sends.size(), 2 * kSessionWindow);  // of two servers
  auto next = PushToAllShards();
  EXPECT_TRUE(TakeSends().empty());
  Reply(sends[0], Answer(sends[0]));
  const Outgoing more = TakeOne();
  EXPECT_EQ(more.call, next);
  EXPECT_EQ(more.address, sends[0].address);
  EXPECT_EQ(more.sections.size(), kShards / 2);
}

TEST_F(DeliveryTest, APushOfMoreSectionsThanTheWindowGoesInTurns) {
  const std::vector<Part> parts(kSessionWindow + 3,
                                PushOf(handle_, keys_, grads_, kShards));
  auto call =
      MakeCall(parts, session_, now_, now_ + absl::Seconds(30), kShards);
  delivery_.Start(call, now_, effects_);
  const Outgoing first = TakeOne();
  EXPECT_EQ(first.sections.size(), kSessionWindow);
  Reply(first, Answer(first));
  const Outgoing rest = TakeOne();
  EXPECT_EQ(rest.sections.size(), 3u);
  Reply(rest, Answer(rest));
  EXPECT_TRUE(Done(call));
}

TEST_F(DeliveryTest, LaterPushesFollowAnEarlierOneThatIsSentAgain) {
  Push();
  const Outgoing first = TakeOne();
  delivery_.OnFailure(first.flight, absl::UnavailableError("x"), true, now_,
                      effects_);
  Push();
  Push();
  EXPECT_TRUE(TakeSends().empty());  // the server could only hold them
  AdvanceToNextWake();
  const std::vector<Outgoing> sends = TakeSends();
  ASSERT_EQ(sends.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(sends[i].sections[0].header.seq, i + 1);
  }
}

TEST_F(DeliveryTest, ANewEpochResendsInOrder) {
  for (int i = 0; i < 5; ++i) Push();
  std::vector<Outgoing> sends = TakeSends();
  Reply(sends[1], Answer(sends[1]));
  // Number 1 has failed and waits; the others are in flight.
  delivery_.OnFailure(sends[0].flight, absl::UnavailableError("x"), false, now_,
                      effects_);
  SetMap(2, 2);
  sends = TakeSends();
  std::vector<SeqNo> order;
  for (const Outgoing& out : sends) {
    order.push_back(out.sections[0].header.seq);
  }
  EXPECT_EQ(order, (std::vector<SeqNo>{1, 3, 4, 5}));
}

TEST_F(DeliveryTest, SectionsThatFailTogetherAreSentAgainTogether) {
  std::vector<uint64_t> keys(100);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  const std::vector<float> grads(100);
  auto call = MakeCall({PushOf(handle_, keys, grads, kShards)}, session_, now_,
                       now_ + absl::Seconds(30), kShards);
  delivery_.Start(call, now_, effects_);
  for (const Outgoing& out : TakeSends()) {
    Reply(out, Refusal(absl::StatusCode::kUnavailable, Reason::kNone));
  }
  Advance(absl::Seconds(1));
  EXPECT_EQ(TakeSends().size(), 2u);  // one per server again
}

TEST_F(DeliveryTest, AServerIsNotAskedMoreThanItAnswers) {
  session_ = nullptr;
  std::vector<Outgoing> sends;
  for (size_t i = 0; i < kRequestsPerServerMax + 5; ++i) Pull();
  sends = TakeSends();
  ASSERT_EQ(sends.size(), kRequestsPerServerMax);
  for (size_t i = 0; i < 3; ++i) Reply(sends[i], Answer(sends[i]));
  EXPECT_EQ(TakeSends().size(), 3u);
  // A reply that nobody wants any more makes room too.
  delivery_.OnFailure(sends[3].flight, absl::UnavailableError("x"), true, now_,
                      effects_);
  EXPECT_EQ(TakeSends().size(), 1u);
}

TEST_F(DeliveryTest, CallsThatWaitForRoomKeepTheirOrder) {
  const auto big_pull = [this] {
    auto call = MakeCall({PullOf(handle_, keys_, rows_, kShards)}, nullptr,
                         now_, now_ + absl::Seconds(30), kShards);
    call->parcels[0].bytes = kBytesPerServerMax / 5 * 2;
    delivery_.Start(call, now_, effects_);
    return call;
  };
  big_pull();
  big_pull();
  const std::vector<Outgoing> sends = TakeSends();
  ASSERT_EQ(sends.size(), 2u);
  std::vector<std::shared_ptr<Call>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(big_pull());
  Reply(sends[0], Answer(sends[0]));
  EXPECT_EQ(TakeOne().call, waiting[0]);
  Reply(sends[1], Answer(sends[1]));
  EXPECT_EQ(TakeOne().call, waiting[1]);
}

// They may be held there until it comes.
TEST_F(DeliveryTest, PullsLeaveRoomForAPush) {
  for (size_t i = 0; i < kRequestsPerServerMax + 5; ++i) Pull();
  EXPECT_EQ(TakeSends().size(), kRequestsPerServerMax);
  Push();
  const Outgoing push = TakeOne();
  EXPECT_TRUE(push.call->is_push);
  Reply(push, Answer(push));
  EXPECT_TRUE(TakeSends().empty());  // no room for a pull
}

TEST_F(DeliveryTest, PullsSentAgainWaitTheirTurn) {
  for (size_t i = 0; i < kRequestsPerServerMax + 1; ++i) Pull();
  const std::vector<Outgoing> sends = TakeSends();
  delivery_.OnFailure(sends[0].flight, absl::UnavailableError("x"), true, now_,
                      effects_);
  EXPECT_EQ(TakeSends().size(), 1u);  // the one that waited: full again
  AdvanceToNextWake();
  EXPECT_TRUE(TakeSends().empty());
  Reply(sends[1], Answer(sends[1]));
  EXPECT_EQ(TakeOne().call, sends[0].call);
}

TEST_F(DeliveryTest, AFullServerStillGetsPushesSentAgain) {
  for (size_t i = 0; i < kRequestsPerServerMax + 1; ++i) {
    if (i % kSessionWindow == 0) {
      session_ = std::make_shared<Session>(7 + i, 1, kShards);
    }
    Push();
  }
  const std::vector<Outgoing> sends = TakeSends();
  delivery_.OnFailure(sends[0].flight, absl::UnavailableError("x"), true, now_,
                      effects_);
  EXPECT_EQ(TakeSends().size(), 1u);  // the one that waited: full again
  AdvanceToNextWake();
  EXPECT_EQ(TakeSends().size(), 1u);
}

TEST_F(DeliveryTest, AnEndedSessionFailsItsPushesAtOnce) {
  auto first = Push();
  auto second = Push();
  const std::vector<Outgoing> sends = TakeSends();
  Reply(sends[0],
        Refusal(absl::StatusCode::kFailedPrecondition, Reason::kSessionFenced));
  EXPECT_TRUE(Done(first));
  EXPECT_FALSE(first->progress[0].left);
  EXPECT_TRUE(Done(second));
  EXPECT_TRUE(second->progress[0].left);  // it may have been applied before
  auto third = Push();
  EXPECT_TRUE(Done(third));
  EXPECT_TRUE(TakeSends().empty());
}

TEST_F(DeliveryTest, AServerThatForgotAcknowledgedPushesEndsTheSession) {
  auto first = Push();
  const Outgoing out = TakeOne();
  Reply(out, Answer(out));
  ASSERT_TRUE(Done(first));
  auto second = Push();
  Reply(TakeOne(), Refusal(absl::StatusCode::kAborted, Reason::kSeqGap,
                           /*expected_seq=*/1));
  ASSERT_TRUE(Done(second));
  EXPECT_EQ(second->progress[0].error.code(), absl::StatusCode::kDataLoss);
}

// The server answered the second while the first was on its way to it; the
// first was answered sooner.
TEST_F(DeliveryTest, AGapThatWasFilledInTheMeantimeIsNoLoss) {
  auto first = Push();
  const Outgoing out = TakeOne();
  auto second = Push();
  const Outgoing early = TakeOne();
  Reply(out, Answer(out));
  ASSERT_TRUE(Done(first));
  Reply(early, Refusal(absl::StatusCode::kAborted, Reason::kSeqGap,
                       /*expected_seq=*/1));
  EXPECT_FALSE(Done(second));
  AdvanceToNextWake();
  const Outgoing again = TakeOne();
  Reply(again, Answer(again));
  EXPECT_TRUE(Done(second));
  EXPECT_TRUE(session_->over().ok());
}

TEST_F(DeliveryTest, APullOlderThanTheSessionHasSeenIsAskedAgain) {
  Push();
  const Outgoing push = TakeOne();
  SectionResult applied = Answer(push);
  applied.header.lsn = 12;
  Reply(push, applied);
  auto pull = Pull();
  const Outgoing first = TakeOne();
  EXPECT_EQ(first.sections[0].header.floor_lsn, 12u);
  SectionResult old = Answer(first);
  old.header.lsn = 11;
  Reply(first, old);
  EXPECT_FALSE(Done(pull));
  AdvanceToNextWake();
  const Outgoing second = TakeOne();
  SectionResult fresh = Answer(second);
  fresh.header.lsn = 12;
  Reply(second, fresh);
  EXPECT_TRUE(Done(pull));
}

// A server could wait for a position of the old history for ever.
TEST_F(DeliveryTest, APullInAnotherHistoryNamesNoPositionOfTheOld) {
  Push();
  const Outgoing push = TakeOne();
  SectionResult applied = Answer(push);
  applied.header.lsn = 12;
  Reply(push, applied);
  v1::ClusterState state = MakeState(2, kShards, 2);
  for (v1::Shard& shard : *state.mutable_shards()) shard.set_history(10);
  delivery_.OnMap(MakeMap(state), now_, effects_);
  Pull();
  const Outgoing pull = TakeOne();
  EXPECT_EQ(pull.sections[0].header.history, 10u);
  EXPECT_EQ(pull.sections[0].header.floor_lsn, 0u);
}

TEST_F(DeliveryTest, APullThatFailsOnOneShardStopsTheOthers) {
  std::vector<uint64_t> keys(50);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  std::vector<float> rows(50);
  auto call = MakeCall({PullOf(handle_, keys, rows, kShards)}, nullptr, now_,
                       now_ + absl::Seconds(30), kShards);
  delivery_.Start(call, now_, effects_);
  const std::vector<Outgoing> sends = TakeSends();
  ASSERT_EQ(sends.size(), 2u);
  Reply(sends[0], Refusal(absl::StatusCode::kNotFound, Reason::kUnknownTable));
  EXPECT_TRUE(Done(call));
  EXPECT_EQ(delivery_.Claim(sends[1].flight, now_, effects_).call, nullptr);
}

TEST_F(DeliveryTest, APushPullPullsOnlyWithOrAfterItsPush) {
  auto call = MakeCall({PushOf(handle_, keys_, grads_, kShards),
                        PullOf(handle_, keys_, rows_, kShards)},
                       session_, now_, now_ + absl::Seconds(30), kShards);
  delivery_.Start(call, now_, effects_);
  const Outgoing both = TakeOne();
  ASSERT_EQ(both.sections.size(), 2u);
  // The push has to come back; the pull that was answered is too old then.
  const Claimed claimed = delivery_.Claim(both.flight, now_, effects_);
  delivery_.OnReply(
      claimed,
      {Refusal(absl::StatusCode::kUnavailable, Reason::kNone), Answer(both, 1)},
      now_, effects_);
  EXPECT_FALSE(Done(call));
  EXPECT_TRUE(TakeSends().empty());
  AdvanceToNextWake();
  const Outgoing again = TakeOne();
  EXPECT_EQ(again.sections.size(), 2u);
  Reply(again, Answer(again));
  EXPECT_TRUE(Done(call));
}

TEST_F(DeliveryTest, WaitsForAMapWhenAShardHasNoServer) {
  v1::ClusterState state = MakeState(2, kShards, 2);
  for (auto& shard : *state.mutable_shards()) shard.set_primary(0);
  delivery_.OnMap(MakeMap(state), now_, effects_);
  auto call = Push();
  EXPECT_TRUE(TakeSends().empty());
  EXPECT_TRUE(effects_.refresh);
  SetMap(3, 3);
  const Outgoing out = TakeOne();
  Reply(out, Answer(out));
  EXPECT_TRUE(Done(call));
}

TEST_F(DeliveryTest, SaysWhatItWaitsForAfterFiveSeconds) {
  Pull();
  TakeSends();
  Advance(absl::Milliseconds(4999));
  EXPECT_TRUE(effects_.log.empty());
  Advance(absl::Milliseconds(2));
  ASSERT_EQ(effects_.log.size(), 1u);
  EXPECT_NE(effects_.log[0].find("pull of table table-1 has waited 5.0 s"),
            std::string::npos)
      << effects_.log[0];
  EXPECT_NE(effects_.log[0].find("server-"), std::string::npos);
}

TEST_F(DeliveryTest, AFinalConnectionErrorFailsThePushAndFillsItsNumber) {
  auto call = Push();
  now_ += absl::Seconds(5);
  delivery_.OnFailure(TakeOne().flight, absl::UnimplementedError("no Data"),
                      true, now_, effects_);
  ASSERT_TRUE(Done(call));
  EXPECT_FALSE(call->progress[0].left);
  EXPECT_TRUE(TakeOne().call->filler);
}

// A flipped bit in a method's name reads as one that the server does not have.
TEST_F(DeliveryTest, ARefusedConnectionIsTriedForFiveSeconds) {
  for (const absl::Status& refused :
       {absl::FailedPreconditionError("another cluster"),
        absl::UnimplementedError("no such method")}) {
    auto call = Pull();
    const absl::Duration start = now_;
    while (!Done(call)) {
      delivery_.OnFailure(TakeOne().flight, refused, true, now_, effects_);
      while (!Done(call) && effects_.send.empty()) AdvanceToNextWake();
    }
    EXPECT_GE(now_ - start, absl::Seconds(5));
    EXPECT_LE(now_ - start, absl::Seconds(6));
    EXPECT_EQ(call->progress[0].error.code(), refused.code());
  }
}

TEST_F(DeliveryTest, ShutdownCancelsEverythingAndWhatComesAfter) {
  auto before = Push();
  const Outgoing out = TakeOne();
  delivery_.Shutdown(effects_);
  EXPECT_TRUE(Done(before));
  EXPECT_EQ(before->progress[0].error.code(), absl::StatusCode::kCancelled);
  auto after = Push();
  EXPECT_TRUE(Done(after));
  delivery_.OnFailure(out.flight, absl::CancelledError("closed"), false, now_,
                      effects_);
  EXPECT_TRUE(TakeSends().empty());
  EXPECT_EQ(delivery_.oldest(), 0u);
}

TEST_F(DeliveryTest, ACallOfNothingIsDoneAtOnce) {
  keys_.clear();
  auto call = MakeCall({}, session_, now_, now_ + absl::Seconds(1), kShards);
  delivery_.Start(call, now_, effects_);
  EXPECT_TRUE(Done(call));
}

}  // namespace
}  // namespace paramo::client
