#include "server/replication/tail.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"

namespace paramo {

void Tail::Reset(const LogPosition& start) {
  last_ = start;
  records_.clear();
  marks_.assign(1, {start.crc, start.epoch});
  bytes_ = 0;
}

void Tail::Append(Record record, Durability level) {
  PARAMO_CHECK(record.lsn() == last_.lsn + 1);
  last_ = {record.lsn(), record.header.crc32c, record.header.epoch};
  bytes_ += record.bytes();
  records_.push_back({std::move(record), level});
  marks_.push_back({last_.crc, last_.epoch});
  if (marks_.size() > kCrcsKept && marks_.size() > records_.size() + 1) {
    marks_.pop_front();
  }
}

void Tail::Truncate(Lsn lsn) {
  const std::optional<uint32_t> crc = CrcOf(lsn);
  PARAMO_CHECK(crc.has_value());
  const Epoch epoch = EpochOf(lsn);
  while (last_.lsn > lsn) {
    if (!records_.empty()) {
      bytes_ -= records_.back().record.bytes();
      records_.pop_back();
    }
    marks_.pop_back();
    --last_.lsn;
  }
  last_ = {lsn, *crc, epoch};
}

void Tail::Drop(Lsn lsn) {
  while (!records_.empty() && first_held() <= lsn) {
    bytes_ -= records_.front().record.bytes();
    records_.pop_front();
  }
}

std::optional<uint32_t> Tail::CrcOf(Lsn lsn) const {
  if (lsn > last_.lsn) return std::nullopt;
  const size_t back = last_.lsn - lsn;
  if (back >= marks_.size()) return std::nullopt;
  return marks_[marks_.size() - 1 - back].crc;
}

Epoch Tail::EpochOf(Lsn lsn) const {
  return marks_[marks_.size() - 1 - (last_.lsn - lsn)].epoch;
}

}  // namespace paramo
