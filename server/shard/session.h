// Exactly-once: what one shard remembers of one session. A pure state machine.
//
//   seq:   ... 41 42 43 | 44 45 46 ... 75 | 76
//              answered | fresh  held     | too far ahead
//              last = 43  next            | beyond last + kSessionWindow
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "common/base/ids.h"
#include "common/base/limits.h"
#include "common/wire/section.h"

namespace paramo {

struct SectionTask;

enum class SeqVerdict {
  kFresh,      // the next number: handle it, then Record the answer
  kDuplicate,  // answered: give that answer again
  kHold,       // numbers before it are missing: Hold it
  kGap,        // beyond the window
  kMismatch,   // answered, but with other bytes
  kForgotten,  // answered, and the answer is no longer remembered
};

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

  SeqVerdict Check(const wire::SectionHeader& header) const;

  // The answer to number last() + 1.
  void Record(const wire::SectionHeader& header,
              const wire::SectionReplyHeader& reply);
  const Answer& AnswerOf(SeqNo seq) const {
    return answers_[seq % kSessionWindow];
  }
  // For restoring: the answer of a number in the window.
  void RestoreAnswer(SeqNo seq, const Answer& answer) {
    answers_[seq % kSessionWindow] = answer;
  }

  // Pushes that came too early, by number. A second copy of a held number
  // takes the place of the first, which is returned (null when there is none).
  SectionTask* Hold(SeqNo seq, SectionTask* task);
  // The held push that is next now, or null.
  SectionTask* TakeNext();
  std::map<SeqNo, SectionTask*>& held() { return held_; }

 private:
  uint32_t epoch_;
  SeqNo last_;  // the newest number handled ("appended")
  std::array<Answer, kSessionWindow> answers_{};
  std::map<SeqNo, SectionTask*> held_;
};

}  // namespace paramo
