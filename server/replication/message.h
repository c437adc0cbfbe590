// What replicas of one shard tell each other, and how it goes over the wire.
// Records travel as the bytes that the log has: the payload is never copied.
//
// One wire message carries any number of messages, of any shards:
//
//   0         2       4
//   | version | count | message, message ...
//
//   message, 88 bytes, then `count` records
//   0        4      5       6       8       12        16        24
//   | crc32c | kind | flags | count | shard | pos.crc | history | epoch ...
//   32     40         48          56     64       72         80
//   | term | position | committed | last | last crc, 0 | sum lsn | sum | 88
//
//   record: durability (4 bytes), header (48), payload
//
// Everything is little-endian. crc32c covers the rest of the 88 bytes and the
// durability and header of every record; the payload has the record's own.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/base/durability.h"
#include "common/base/ids.h"
#include "common/mem/rope.h"
#include "server/log/record.h"
#include "server/replication/seeded_bugs.h"

namespace paramo {

struct SentRecord {
  Record record;
  Durability level = Durability::kSynced;
};

struct PeerMessage {
  enum class Kind : uint8_t {
    kAppend = 1,  // primary -> follower; without records, a heartbeat
    kAck = 2,     // follower -> primary
  };
  enum Flag : uint8_t {
    // Of an acknowledgement:
    kRewind = 1,   // send again: `position` of the append did not fit
    kRefused = 2,  // the sender's term is over; epoch and term are the newer
    kReady = 4,    // its state is whole: it may join
    kLeaving = 8,  // it has stopped or cannot store: drop it
    // Of an append:
    kWithSum = 16,  // sum_lsn and sum are set
  };

  Kind kind = Kind::kAppend;
  uint8_t flags = 0;
  ShardId shard = 0;
  HistoryId history = 0;
  Epoch epoch = 0;  // of the sender's configuration
  Epoch term = 0;
  // Append: the record before the first one here, and its crc32c.
  // Ack:    all up to here is held, each record at its durability; crc 0.
  Lsn position = 0;
  uint32_t position_crc = 0;
  Lsn committed = 0;  // as the sender knows
  // Ack: the sender's last record and its crc32c.
  Lsn last = 0;
  uint32_t last_crc = 0;
  // Append: checksum of the applied state at sum_lsn.
  Lsn sum_lsn = 0;
  uint64_t sum = 0;
  std::vector<SentRecord> records;

  bool has(Flag flag) const { return (flags & flag) != 0; }
};

// What a wire message with one record has beside the record's payload.
inline constexpr size_t kPeerMessageOverheadBytes = 4 + 88 + 52;

// The bytes of one wire message; they share ownership of the payloads.
// At most kPeerMessagesMax messages of kPeerRecordsMax records.
Rope EncodePeerMessages(absl::Span<const PeerMessage> messages);

// The payloads share ownership of `bytes`.
//
// Errors: INVALID_ARGUMENT  not such a message, cut short, or bytes left over
//         DATA_LOSS         a crc32c is wrong
// Cost:   one pass over all bytes for their crc32c; memory in proportion to
//         the bytes that are there, whatever they claim.
absl::StatusOr<std::vector<PeerMessage>> DecodePeerMessages(
    const Rope& bytes, const SeededBugs& bugs = {});

}  // namespace paramo
