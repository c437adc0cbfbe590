#include "server/shard/session.h"

#include <utility>

#include "common/base/check.h"

namespace paramo {

SeqVerdict Session::Check(const wire::SectionHeader& header) const {
  SeqNo seq = header.seq;
  if (seq == last_ + 1) return SeqVerdict::kFresh;
  if (seq > last_ + kSessionWindow) return SeqVerdict::kGap;
  if (seq > last_) return SeqVerdict::kHold;
  if (seq + kSessionWindow <= last_) return SeqVerdict::kForgotten;
  const Answer& answer = AnswerOf(seq);
  if (answer.hash_low != header.payload_hash_low ||
      answer.hash_high != header.payload_hash_high) {
    return SeqVerdict::kMismatch;
  }
  return SeqVerdict::kDuplicate;
}

void Session::Record(const wire::SectionHeader& header,
                     const wire::SectionReplyHeader& reply) {
  PARAMO_CHECK(header.seq == last_ + 1);  // invariant 1
  last_ = header.seq;
  Answer& answer = answers_[last_ % kSessionWindow];
  answer.hash_low = header.payload_hash_low;
  answer.hash_high = header.payload_hash_high;
  answer.code = reply.code;
  answer.outcome = reply.outcome;
  answer.reason = reply.reason;
  answer.rows_skipped = reply.rows_skipped;
  answer.lsn = reply.lsn;
}

SectionTask* Session::Hold(SeqNo seq, SectionTask* task) {
  return std::exchange(held_[seq], task);
}

SectionTask* Session::TakeNext() {
  auto next = held_.find(last_ + 1);
  if (next == held_.end()) return nullptr;
  SectionTask* task = next->second;
  held_.erase(next);
  return task;
}

}  // namespace paramo
