// The messages of the data plane as host structs. Field meanings, shapes and
// units: proto/paramo/v1/data.proto. Byte layout: docs/formats/wire.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/hash/hash128.h"

namespace paramo::wire {

// Bits of SectionHeader::present: which optional fields the message carried.
// An absent field means "do not check". The canonical encoding has them all.
enum SectionField : uint32_t {
  kShard = 1u << 1,
  kEpoch = 1u << 2,
  kHistory = 1u << 3,
  kSession = 1u << 4,
  kSessionEpoch = 1u << 5,
  kSeq = 1u << 6,
  kClock = 1u << 7,
  kExamples = 1u << 8,
  kColour = 1u << 9,
  kTable = 1u << 10,
  kTableVersion = 1u << 11,
  kCodec = 1u << 12,
  kFlags = 1u << 13,
  kDataPosition = 1u << 14,
  kFloorEpoch = 1u << 15,
  kFloorLsn = 1u << 16,
  kPayloadHashLow = 1u << 17,
  kPayloadHashHigh = 1u << 18,
  kCrc32c = 1u << 19,
};
inline constexpr uint32_t kAllSectionFields = ((1u << 20) - 1) & ~1u;

inline constexpr uint32_t kFlagEndOfClock = 1;
inline constexpr uint32_t kFlagWithPulled = 2;
inline constexpr uint32_t kFlagInitial = 4;

// Header of one section of a push or pull.
struct SectionHeader {
  uint32_t present = kAllSectionFields;
  uint32_t shard = 0;
  uint64_t epoch = 0;
  uint64_t history = 0;
  uint64_t session = 0;
  uint32_t session_epoch = 0;
  uint64_t seq = 0;
  uint64_t clock = 0;
  uint32_t examples = 0;
  uint32_t colour = 0;
  uint32_t table = 0;
  uint32_t table_version = 0;
  uint32_t codec = 0;
  uint32_t flags = 0;
  uint64_t data_position = 0;
  uint64_t floor_epoch = 0;
  uint64_t floor_lsn = 0;
  uint64_t payload_hash_low = 0;
  uint64_t payload_hash_high = 0;
  uint32_t crc32c = 0;

  bool has(SectionField field) const { return (present & field) != 0; }
  bool end_of_clock() const { return (flags & kFlagEndOfClock) != 0; }
  bool with_pulled() const { return (flags & kFlagWithPulled) != 0; }
  bool initial() const { return (flags & kFlagInitial) != 0; }
};

// What stands for a section's keys when the server was sent them before.
struct KeyListRef {
  Hash128 hash;  // of the key block
  uint32_t count = 0;
};

// Header of the answer to one section.
struct SectionReplyHeader {
  uint32_t shard = 0;
  uint32_t code = 0;     // absl::StatusCode
  uint32_t outcome = 0;  // Outcome
  uint32_t reason = 0;   // Reason
  uint64_t epoch = 0;
  uint64_t history = 0;
  uint64_t lsn = 0;
  uint64_t clock = 0;
  uint32_t colour = 0;
  uint32_t replicas = 0;
  uint32_t rows_skipped = 0;
  uint32_t retry_after_ms = 0;
  uint64_t expected_seq = 0;
  uint32_t table_version = 0;
  uint32_t codec = 0;
  uint32_t crc32c = 0;
};

// The same numbers as the enums of data.proto; reason_test.cc compares them.
enum class Outcome : uint32_t { kNone, kApplied, kAccumulated, kDropped };

enum class Reason : uint32_t {
  kNone = 0,
  kMalformed = 1,
  kTooLarge = 2,
  kProtocolVersion = 3,
  kWrongCluster = 4,
  kWrongShard = 5,
  kWrongEpoch = 6,
  kWrongHistory = 7,
  kSessionExpired = 8,
  kSessionFenced = 9,
  kSeqGap = 10,
  kSeqMismatch = 11,
  kUnknownTable = 12,
  kTableVersion = 13,
  kKeys = 14,
  kDimensions = 15,
  kCodec = 16,
  kChecksum = 17,
  kNonFinite = 18,
  kOverloaded = 19,
  kDeadline = 20,
  kNotAMember = 21,
  kShuttingDown = 22,
  kRows = 23,
  kUnsupported = 24,
  kReplicas = 25,
  kStore = 26,
  kNeedKeys = 27,
};
inline constexpr size_t kReasonCount = 28;

// "checksum", "wrong_epoch", ...: label of the refusal counters.
const char* ReasonName(Reason reason);

// First message of a stream, both ways.
struct Hello {
  uint32_t protocol_min = 1;
  uint32_t protocol_max = 1;
  uint64_t cluster_id = 0;
  uint64_t cluster_incarnation = 0;
  uint32_t server_id = 0;
  uint64_t server_incarnation = 0;
  std::string build;
  std::string shm_directory;
  uint64_t shm_token = 0;
  bool key_lists = false;  // from servers: they take a KeyListRef
};
inline constexpr uint32_t kProtocolVersion = 1;

// A run of bytes within a message.
struct ByteRange {
  size_t offset = 0;
  size_t size = 0;
};

}  // namespace paramo::wire
