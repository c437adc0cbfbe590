#include "server/shard/session.h"

#include <utility>

#include "common/base/check.h"

namespace paramo {

void Session::Record(SeqNo seq, const Answer& answer) {
  PARAMO_CHECK(seq == last_ + 1);  // invariant 1
  last_ = seq;
  answers_[last_ % kSessionWindow] = answer;
}

SeqVerdict SessionGate::Check(const wire::SectionHeader& header,
                              const Session* session) const {
  const SeqNo seq = header.seq;
  if (seq == appended_ + 1) return SeqVerdict::kFresh;
  if (seq > appended_ + kSessionWindow) return SeqVerdict::kGap;
  if (seq > appended_) return SeqVerdict::kHold;
  if (seq + pending_.size() > appended_) {
    const Pending& pending = pending_[IndexOf(seq)];
    const bool same = pending.hash_low == header.payload_hash_low &&
                      pending.hash_high == header.payload_hash_high;
    return same ? SeqVerdict::kPending : SeqVerdict::kMismatch;
  }
  if (session == nullptr || seq + kSessionWindow <= session->last()) {
    return SeqVerdict::kForgotten;
  }
  const Session::Answer& answer = session->AnswerOf(seq);
  if (answer.hash_low != header.payload_hash_low ||
      answer.hash_high != header.payload_hash_high) {
    return SeqVerdict::kMismatch;
  }
  return SeqVerdict::kDuplicate;
}

size_t SessionGate::IndexOf(SeqNo seq) const {
  const SeqNo oldest = appended_ - pending_.size() + 1;
  PARAMO_CHECK(seq >= oldest && seq <= appended_);
  return seq - oldest;
}

void SessionGate::Append(const wire::SectionHeader& header) {
  PARAMO_CHECK(header.seq == appended_ + 1);
  appended_ = header.seq;
  pending_.push_back({header.payload_hash_low, header.payload_hash_high, {}});
}

void SessionGate::Attach(SeqNo seq, SectionTask* task) {
  pending_[IndexOf(seq)].attached.push_back(task);
}

std::vector<SectionTask*> SessionGate::Settle(SeqNo seq) {
  PARAMO_CHECK(!pending_.empty() && IndexOf(seq) == 0);
  std::vector<SectionTask*> attached = std::move(pending_.front().attached);
  pending_.pop_front();
  return attached;
}

SectionTask* SessionGate::Hold(SeqNo seq, SectionTask* task) {
  return std::exchange(held_[seq], task);
}

SectionTask* SessionGate::TakeNext() {
  auto next = held_.find(appended_ + 1);
  if (next == held_.end()) return nullptr;
  SectionTask* task = next->second;
  held_.erase(next);
  return task;
}

std::vector<SectionTask*> SessionGate::TakeWaiting() {
  std::vector<SectionTask*> waiting;
  for (auto& [seq, task] : held_) waiting.push_back(task);
  held_.clear();
  for (Pending& pending : pending_) {
    for (SectionTask* task : pending.attached) waiting.push_back(task);
    pending.attached.clear();
  }
  return waiting;
}

}  // namespace paramo
