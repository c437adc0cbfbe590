// The header of one log record, frozen: docs/formats/log_record.md.
//
//   0        4        8     10    12       16       24       32       40
//   | crc32c | length | kind | ver | shard  | epoch  | lsn    | history|
//   40            44           48
//   | previous crc| reserved 0 | payload, `length` bytes ...
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/ids.h"

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

}  // namespace paramo
