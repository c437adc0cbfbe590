// One log record: its header, frozen, and how it is sealed and checked.
// docs/formats/log_record.md.
//
//   0        4        8     10    12       16       24       32       40
//   | crc32c | length | kind | ver | shard  | epoch  | lsn    | history|
//   40            44           48
//   | previous crc| reserved 0 | payload, `length` bytes ...
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "common/base/ids.h"
#include "common/mem/rope.h"

namespace paramo {

enum class RecordKind : uint16_t {
  kPush = 1,        // a section as the client encoded it
  kNoOp = 2,        // a new primary's first record
  kSkip = 3,        // a sequence number given up
  kTruncate = 4,    // a tail cut logically
  kClock = 5,       // a worker ended a step without rows here
  kRoundClose = 6,  // names the contributors
  kMembership = 7,  // join, leave
  kCatalogue = 8,   // table create, alter, drop
  kSession = 9,     // open, expire
  kSnapshotCut = 10,
  kRefusal = 11,  // a refused push that consumed its sequence number
  kRestart = 12,  // the shard begins anew behind an lsn: all before it is void
};

// Little-endian, as it lies in the log. crc32c covers everything behind
// itself, the payload included; previous_crc chains the records of a shard.
struct RecordHeader {
  uint32_t crc32c = 0;
  uint32_t length = 0;  // of the payload
  uint16_t kind = 0;
  uint16_t version = 1;
  uint32_t shard = 0;
  uint64_t epoch = 0;
  uint64_t lsn = 0;
  uint64_t history = 0;
  uint32_t previous_crc = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(RecordHeader) == 48);
static_assert(offsetof(RecordHeader, epoch) == 16);
static_assert(offsetof(RecordHeader, previous_crc) == 40);

// A sealed record with its bytes. A copy shares them.
struct Record {
  RecordHeader header;
  Rope payload;

  RecordKind kind() const { return static_cast<RecordKind>(header.kind); }
  Lsn lsn() const { return header.lsn; }
  size_t bytes() const { return sizeof(header) + payload.size(); }
};

// Sets `length` and, last, `crc32c`. Every other field is the caller's.
// Threads: any. Cost: one pass over the payload at about 8 bytes per cycle.
void SealRecord(RecordHeader& header, absl::Span<const Piece> payload);

// Whether `header` and its payload are what SealRecord saw. The payload must
// have `header.length` bytes. Says nothing about the chain.
bool CheckRecord(const RecordHeader& header, absl::Span<const Piece> payload);

// Truncate and restart records are a log's own marks: they take no lsn. Their
// header's lsn is that of the record behind which the shard goes on, and
// previous_crc is that record's crc32c, so the next record is lsn + 1 and
// chains to it. A truncate voids the shard's records above lsn, a restart all
// of its records before the mark (the shard came from a checkpoint).
inline bool IsMark(const RecordHeader& header) {
  const auto kind = static_cast<RecordKind>(header.kind);
  return kind == RecordKind::kTruncate || kind == RecordKind::kRestart;
}

// A mark: its payload is {epoch, lsn}, 16 bytes, and it comes sealed.
struct MarkRecord {
  RecordHeader header;
  uint64_t payload[2];

  Piece piece() const {
    return {reinterpret_cast<const uint8_t*>(payload), sizeof(payload)};
  }
};
// `kind` is kTruncate or kRestart; `crc` is the crc32c of record `lsn` (0 when
// lsn is 0, and when nobody knows it).
MarkRecord MakeMark(RecordKind kind, ShardId shard, Epoch epoch,
                    HistoryId history, Lsn lsn, uint32_t crc);

}  // namespace paramo
