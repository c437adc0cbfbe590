// Walks the bytes of one segment and says what is good and what is not.
// Decides nothing: that takes the whole stream (recovery_builder.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/log/index.h"
#include "server/log/segment.h"

namespace paramo {

struct ScannedRecord {
  uint64_t position = 0;  // in the stream, of its header
  uint64_t batch = 0;     // of its batch's header
  const uint8_t* bytes = nullptr;
};

struct ScannedBad {
  LogRange range;
  // It ends with the file, within what looks like the last write.
  bool torn = false;
  const char* what = "";
};

struct SegmentScan {
  bool header_is_good = false;
  SegmentHeader header;    // as it lies there
  uint64_t durable = 0;    // the greatest that a good batch carries
  uint64_t end = 0;        // in the stream, of the bytes that are there
  bool has_batch = false;  // a good batch header
  std::vector<ScannedRecord> records;  // that checked out, in order
  std::vector<ScannedBad> bad;         // in order
};

// `end`: where the next segment begins, if there is one; else no limit. What
// lies behind it was cut before and is not looked at.
//
// FAILED_PRECONDITION: not a segment, or of another format version.
absl::StatusOr<SegmentScan> ScanSegment(const SegmentName& name,
                                        absl::Span<const uint8_t> bytes,
                                        uint64_t end);

inline constexpr uint64_t kNoEnd = ~uint64_t{0};

}  // namespace paramo
