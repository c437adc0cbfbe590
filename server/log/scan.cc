#include "server/log/scan.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/log/record.h"

namespace paramo {
namespace {

class Scanner {
 public:
  Scanner(const SegmentName& name, absl::Span<const uint8_t> bytes,
          uint64_t end)
      : name_(name), bytes_(bytes), end_(end) {
    file_end_ = name.first_position + bytes.size();
    scan_.end = std::min(file_end_, end);
  }

  absl::StatusOr<SegmentScan> Run() {
    PARAMO_RETURN_IF_ERROR(ScanHeader());
    uint64_t position = name_.first_position + sizeof(SegmentHeader);
    while (position < scan_.end) {
      BatchHeader header;
      if (ReadBatchHeader(position, header)) {
        PARAMO_RETURN_IF_ERROR(ScanBatch(position, header));
        position += sizeof(header) + header.bytes;
      } else {
        const uint64_t next = FindBatch(position + 1);
        const bool torn =
            end_ == kNoEnd && file_end_ - position < sizeof(BatchHeader);
        AddBad(position, next, torn, "no batch header");
        position = next;
      }
    }
    const uint64_t missing = std::max(file_end_, BodyBegin());
    if (end_ != kNoEnd && missing < end_) {
      AddBad(missing, end_, false, "the file is short");
    }
    return CheckNotForeign();
  }

 private:
  uint64_t BodyBegin() const {
    return name_.first_position + sizeof(SegmentHeader);
  }
  const uint8_t* At(uint64_t position) const {
    return bytes_.data() + (position - name_.first_position);
  }

  void AddBad(uint64_t begin, uint64_t end, bool torn, const char* what) {
    scan_.bad.push_back({{begin, end}, torn, what});
  }

  absl::Status ScanHeader() {
    if (bytes_.size() < sizeof(SegmentHeader)) return absl::OkStatus();
    std::memcpy(&scan_.header, bytes_.data(), sizeof(SegmentHeader));
    const SegmentHeader& header = scan_.header;
    if (!Check(header)) return absl::OkStatus();
    if (header.format_version != kLogFormatVersion) {
      return absl::FailedPreconditionError(absl::StrCat(
          "has log format ", header.format_version, ", this binary reads ",
          kLogFormatVersion, "; use the version of Paramo that wrote it"));
    }
    if (header.number != name_.number ||
        header.first_position != name_.first_position) {
      return absl::FailedPreconditionError(absl::StrCat(
          "was renamed: it is segment ", header.number, " at position ",
          header.first_position, "; give it its name back"));
    }
    scan_.header_is_good = true;
    return absl::OkStatus();
  }

  // A batch lies at `position` if one says so of itself. When the segment's
  // header is damaged its checksum is unknown, and the position must do.
  bool ReadBatchHeader(uint64_t position, BatchHeader& header) const {
    if (scan_.end - position < sizeof(header)) return false;
    std::memcpy(&header, At(position), sizeof(header));
    return header.magic == kBatchMagic && header.position == position &&
           (!scan_.header_is_good ||
            header.segment_crc == scan_.header.crc32c) &&
           Check(header);
  }

  // The first batch at or behind `position`; the end when there is none.
  uint64_t FindBatch(uint64_t position) const {
    const uint8_t* const end = At(scan_.end);
    while (position < scan_.end) {
      const void* found =
          memmem(At(position), static_cast<size_t>(scan_.end - position),
                 &kBatchMagic, sizeof(kBatchMagic));
      if (found == nullptr) break;
      position = scan_.end - static_cast<uint64_t>(
                                 end - static_cast<const uint8_t*>(found));
      BatchHeader header;
      if (ReadBatchHeader(position, header)) return position;
      ++position;
    }
    return scan_.end;
  }

  absl::Status ScanBatch(uint64_t batch, const BatchHeader& header) {
    scan_.has_batch = true;
    scan_.durable = std::max(scan_.durable, header.durable);
    const uint64_t promised = batch + sizeof(header) + header.bytes;
    const uint64_t batch_end = std::min(promised, scan_.end);
    // Cut by an earlier recovery when the stream goes on elsewhere; else the
    // file ends within this batch.
    const bool torn = promised > scan_.end && end_ == kNoEnd;
    uint64_t position = batch + sizeof(header);
    while (position < batch_end) {
      const uint64_t next = RecordEnd(position, batch_end);
      PARAMO_ASSIGN_OR_RETURN(const bool good, IsGood(position, next));
      if (good) {
        scan_.records.push_back({position, batch, At(position)});
        position = next;
        continue;
      }
      // The length can be believed when another record follows, or the end.
      const uint64_t after = RecordEnd(next, batch_end);
      const bool length_is_good =
          next == promised ||
          (next != 0 && IsGood(next, after).value_or(false));
      const uint64_t bad_end = length_is_good ? next : batch_end;
      AddBad(position, bad_end, torn, "bad record");
      position = bad_end;
    }
    if (torn && (scan_.bad.empty() || scan_.bad.back().range.end < batch_end)) {
      AddBad(batch_end, batch_end, true, "the last batch is short");
    }
    return absl::OkStatus();
  }

  // 0 when no record fits at `position`.
  uint64_t RecordEnd(uint64_t position, uint64_t batch_end) const {
    RecordHeader header;
    if (position == 0 || position > batch_end ||
        batch_end - position < sizeof(header)) {
      return 0;
    }
    std::memcpy(&header, At(position), sizeof(header));
    const uint64_t end = position + sizeof(header) + header.length;
    return end <= batch_end ? end : 0;
  }

  absl::StatusOr<bool> IsGood(uint64_t position, uint64_t end) const {
    if (end == 0) return false;
    RecordHeader header;
    std::memcpy(&header, At(position), sizeof(header));
    const Piece payload = {At(position) + sizeof(header), header.length};
    if (!CheckRecord(header, {&payload, 1})) return false;
    if (header.version == 1) return true;
    return absl::FailedPreconditionError(
        absl::StrCat("has a record of version ", header.version,
                     ", this binary reads 1; use the version of Paramo that "
                     "wrote it"));
  }

  absl::StatusOr<SegmentScan> CheckNotForeign() {
    const bool has_body = scan_.end > BodyBegin();
    const bool has_magic = std::memcmp(scan_.header.magic, kSegmentMagic,
                                       sizeof(scan_.header.magic)) == 0;
    if (has_body && !scan_.has_batch && !scan_.header_is_good && !has_magic) {
      return absl::FailedPreconditionError(
          "is not a segment of a log, or nothing of it is left; move it away, "
          "or restore it from a copy");
    }
    return std::move(scan_);
  }

  const SegmentName name_;
  const absl::Span<const uint8_t> bytes_;
  const uint64_t end_;
  uint64_t file_end_ = 0;
  SegmentScan scan_;
};

}  // namespace

absl::StatusOr<SegmentScan> ScanSegment(const SegmentName& name,
                                        absl::Span<const uint8_t> bytes,
                                        uint64_t end) {
  return Scanner(name, bytes, end).Run();
}

}  // namespace paramo
