// What lies in a segment beside records: docs/formats/log.md. All integers are
// little-endian, as are all machines that Paramo runs on (common/base/cpu.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace paramo {

inline constexpr uint32_t kLogFormatVersion = 1;
inline constexpr char kSegmentMagic[] = "PARAMLOG";  // 8 bytes, without the 0
inline constexpr uint32_t kBatchMagic = 0x48435442;  // "BTCH" in the file

// The first 128 bytes of a segment, in every format version. Written, synced
// and renamed into place before the first batch, so never half there.
struct SegmentHeader {
  char magic[8] = {};
  uint32_t crc32c = 0;  // of everything behind itself
  uint32_t format_version = kLogFormatVersion;
  uint64_t cluster_id = 0;
  uint32_t server_id = 0;
  uint32_t reserved0 = 0;
  uint64_t incarnation = 0;
  uint64_t number = 0;          // 1, 2, 3, ... per stream
  uint64_t first_position = 0;  // in the stream, of this header's first byte
  char boot_id[40] = {};        // of the writer's kernel, padded with 0
  uint8_t reserved1[32] = {};
};
static_assert(sizeof(SegmentHeader) == 128);
static_assert(offsetof(SegmentHeader, boot_id) == 56);

// In front of every batch. What is between its end and the next one's start is
// nothing: batches touch.
struct BatchHeader {
  uint32_t magic = kBatchMagic;
  uint32_t crc32c = 0;    // of everything behind itself
  uint64_t position = 0;  // in the stream, of this header's first byte
  uint64_t durable = 0;   // all below was synced when this was written
  uint32_t bytes = 0;     // of the records that follow; 0 = only says durable
  uint32_t segment_crc = 0;  // crc32c of the segment's header: ties them
};
static_assert(sizeof(BatchHeader) == 32);

// Set magic and crc32c.
void Seal(SegmentHeader& header);
void Seal(BatchHeader& header);

// Whether magic and crc32c are right.
bool Check(const SegmentHeader& header);
bool Check(const BatchHeader& header);

// Number and first position are in the name too, so that a segment whose
// header is damaged still has its place: "00000007-0000000012a05f20.log".
struct SegmentName {
  uint64_t number = 0;
  uint64_t first_position = 0;

  std::string Format() const;
  static std::optional<SegmentName> Parse(absl::string_view name);
};

// Behind the name of a segment that is not in place yet; removed at Open.
inline constexpr absl::string_view kUnfinishedSuffix = ".tmp";

}  // namespace paramo
