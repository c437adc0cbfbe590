#include "server/service/request.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/shard/shard.h"

namespace paramo {

ServedSection::ServedSection() : SectionTask(&Shard::RunTask) {
  done = [](SectionTask* task) {
    static_cast<ServedSection*>(task)->request->TaskDone();
  };
}

void ServedRequest::Run() {
  writer = std::make_unique<wire::ReplyWriter>(id_, state_version_, push.size(),
                                               pull_bytes);
  for (size_t i = 0; i < pull.size(); ++i) {
    uint8_t* values = writer->values(i);
    for (size_t t = 0; t < pull[i].count; ++t) {
      ServedSection& task = tasks[pull[i].first + t];
      // Addresses were relative to the section's values until now.
      for (uint8_t*& out : task.outs) {
        out = values + reinterpret_cast<uintptr_t>(out);
      }
      task.out = values;
    }
  }
  size_t count = tasks.size();
  left_.store(count + 1, std::memory_order_relaxed);
  for (size_t i = 0; i < count; ++i) tasks[i].shard->Submit(&tasks[i]);
  TaskDone();
}

void ServedRequest::TaskDone() {
  if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) Send();
}

// One answer for a section that was split: the first error, or the sums. An
// error whose outcome is not none: other shards have applied their part.
wire::SectionReply ServedRequest::Answer(SectionSlot& slot) {
  if (slot.count == 0) return std::move(slot.refused);
  wire::SectionReply answer = std::move(tasks[slot.first].reply);
  for (size_t i = 1; i < slot.count; ++i) {
    wire::SectionReply& part = tasks[slot.first + i].reply;
    uint32_t outcome = std::max(answer.header.outcome, part.header.outcome);
    if (answer.header.code == 0 && part.header.code != 0) {
      answer = std::move(part);
    }
    answer.header.outcome = outcome;
    if (answer.header.code != 0) continue;
    answer.header.rows_skipped += part.header.rows_skipped;
    answer.header.lsn = std::max(answer.header.lsn, part.header.lsn);
    answer.header.clock = std::min(answer.header.clock, part.header.clock);
  }
  return answer;
}

uint32_t ServedRequest::ParkedMicros() const {
  absl::Duration longest;
  for (const ServedSection& task : tasks) {
    longest = std::max(longest, task.parked);
  }
  return static_cast<uint32_t>(
      std::min<int64_t>(absl::ToInt64Microseconds(longest),
                        std::numeric_limits<uint32_t>::max()));
}

void ServedRequest::Send() {
  std::vector<wire::SectionReply> pushed;
  pushed.reserve(push.size());
  for (SectionSlot& slot : push) pushed.push_back(Answer(slot));
  std::vector<wire::SectionReply> pulled;
  pulled.reserve(pull.size());
  for (SectionSlot& slot : pull) pulled.push_back(Answer(slot));
  Message message = writer->Take(absl::MakeSpan(pushed), absl::MakeSpan(pulled),
                                 ParkedMicros());
  size_t bytes = MessageBytes(message);
  call_->Reply(std::move(message));
  if (on_done) on_done(*this, bytes);
  delete this;
}

}  // namespace paramo
