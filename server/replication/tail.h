// The end of a shard's log in memory: what is not committed yet, some of what
// is, and the crc32cs of the last few hundred records.
//
//     forgotten | crc known | kept records     | not committed
//   1 ...         ...         first_held() ...   committed + 1 ... last()
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "common/base/ids.h"
#include "server/replication/message.h"

namespace paramo {

// Where a log stands: its last record.
struct LogPosition {
  Lsn lsn = 0;
  uint32_t crc = 0;  // of record `lsn`; 0 when there is none
  Epoch epoch = 0;   // of record `lsn`

  friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

// Used on the shard's strand. Holds records by reference, payloads included.
class Tail {
 public:
  // Empty, behind `start`.
  void Reset(const LogPosition& start);

  // `record` is last() + 1.
  void Append(Record record, Durability level);
  // Forgets records above `lsn`, whose crc must be known.
  void Truncate(Lsn lsn);
  // Lets go of records at and below `lsn`; their crcs stay a while.
  void Drop(Lsn lsn);

  const LogPosition& last() const { return last_; }
  Lsn first_held() const { return last_.lsn + 1 - records_.size(); }
  bool Holds(Lsn lsn) const { return lsn >= first_held() && lsn <= last_.lsn; }
  const SentRecord& at(Lsn lsn) const { return records_[lsn - first_held()]; }

  // Nothing when it is forgotten or above last(); record 0 has crc 0.
  std::optional<uint32_t> CrcOf(Lsn lsn) const;
  Epoch EpochOf(Lsn lsn) const;  // of one whose crc is known

  size_t bytes() const { return bytes_; }  // of the records held

 private:
  struct Mark {
    uint32_t crc;
    Epoch epoch;
  };

  LogPosition last_;
  std::deque<SentRecord> records_;  // up to last_
  std::deque<Mark> marks_;          // up to last_; the start's included
  size_t bytes_ = 0;
};

}  // namespace paramo
