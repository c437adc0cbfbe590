// Exactly-once: what one shard remembers of one session. Two pure state
// machines, because a push is appended before it is applied:
//
//   seq:   ... 41 42 43 | 44 45 46 | 47     48 ... 78 | 79
//              answered | pending  | fresh  held      | too far ahead
//          last = 43      appended = 46     next      | beyond + kSessionWindow
//
// Session is replicated: it changes only by applied records, so every replica
// has the same. SessionGate is the primary's own and goes with its term.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "common/base/ids.h"
#include "common/base/limits.h"
#include "common/wire/section.h"

namespace paramo {

struct SectionTask;

// Invariants
//   1. last() only grows, by one at a time.
//   2. Answers of the last kSessionWindow numbers are remembered: a client has
//      no more in flight, so every retry finds its answer.
class Session {
 public:
  struct Answer {
    uint64_t hash_low = 0;
    uint64_t hash_high = 0;
    uint32_t code = 0;
    uint32_t outcome = 0;
    uint32_t reason = 0;
    uint32_t rows_skipped = 0;
    Lsn lsn = 0;
  };

  explicit Session(uint32_t epoch, SeqNo last = 0)
      : epoch_(epoch), last_(last) {}

  uint32_t epoch() const { return epoch_; }
  SeqNo last() const { return last_; }
  Lsn used() const { return AnswerOf(last_).lsn; }  // last; 0 = never

  // The answer to number last() + 1.
  void Record(SeqNo seq, const Answer& answer);
  const Answer& AnswerOf(SeqNo seq) const {
    return answers_[seq % kSessionWindow];
  }
  // For restoring: the answer of a number in the window.
  void RestoreAnswer(SeqNo seq, const Answer& answer) {
    answers_[seq % kSessionWindow] = answer;
  }

 private:
  uint32_t epoch_;
  SeqNo last_;  // the newest number answered
  std::array<Answer, kSessionWindow> answers_{};
};

enum class SeqVerdict {
  kFresh,      // the next number: handle it, then Append it
  kPending,    // appended, not applied: Attach to it
  kDuplicate,  // answered: give that answer again
  kHold,       // numbers before it are missing: Hold it
  kGap,        // beyond the window
  kMismatch,   // used before with other bytes
  kForgotten,  // answered, and the answer is no longer remembered
};

// Invariant: every number in (last of the session, appended()] is pending.
class SessionGate {
 public:
  // `last`: what the session has answered; 0 for one that is not there yet.
  SessionGate(uint32_t epoch, SeqNo last) : epoch_(epoch), appended_(last) {}

  uint32_t epoch() const { return epoch_; }
  SeqNo appended() const { return appended_; }

  // `session` null: nothing of it has been applied yet.
  SeqVerdict Check(const wire::SectionHeader& header,
                   const Session* session) const;

  // Number appended() + 1 has become a record.
  void Append(const wire::SectionHeader& header);
  // A retry of a pending number: answered when that is.
  void Attach(SeqNo seq, SectionTask* task);
  // The record of the oldest pending number is applied: who waits for it too.
  std::vector<SectionTask*> Settle(SeqNo seq);

  // Pushes that came too early, by number. A second copy of a held number
  // takes the place of the first, which is returned (null when there is none).
  SectionTask* Hold(SeqNo seq, SectionTask* task);
  // The held push that is next now, or null.
  SectionTask* TakeNext();
  std::map<SeqNo, SectionTask*>& held() { return held_; }

  // Everybody who waits here, held and attached; both are empty afterwards.
  std::vector<SectionTask*> TakeWaiting();

 private:
  struct Pending {
    uint64_t hash_low = 0;
    uint64_t hash_high = 0;
    std::vector<SectionTask*> attached;
  };

  size_t IndexOf(SeqNo seq) const;  // within pending_

  uint32_t epoch_;
  SeqNo appended_;
  std::deque<Pending> pending_;  // of the numbers up to appended_
  std::map<SeqNo, SectionTask*> held_;
};

}  // namespace paramo
