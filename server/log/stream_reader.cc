#include "server/log/stream_reader.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace paramo {
namespace {

// Small next to a record of a dense table, large next to a system call.
constexpr size_t kWindowBytes = 64 << 10;

}  // namespace

LogStreamReader::LogStreamReader(const LogReadPlan& plan)
    : plan_(plan), position_(plan.start) {}

uint64_t LogStreamReader::SourceEnd() const {
  return source_ + 1 < plan_.sources.size()
             ? plan_.sources[source_ + 1].name.first_position
             : plan_.end;
}

absl::StatusOr<bool> LogStreamReader::Next() {
  while (true) {
    if (SkipBad()) continue;
    if (position_ >= SourceEnd()) {
      if (source_ + 1 == plan_.sources.size()) return false;
      ++source_;
      const uint64_t first = plan_.sources[source_].name.first_position;
      position_ = std::max(position_, first + sizeof(SegmentHeader));
      batch_end_ = 0;
      window_.clear();
    } else if (position_ >= batch_end_) {
      PARAMO_RETURN_IF_ERROR(EnterBatch());
    } else {
      break;
    }
  }
  PARAMO_RETURN_IF_ERROR(ReadBytes(position_, sizeof(header_), &header_));
  record_ = position_;
  position_ += sizeof(header_) + header_.length;
  if (position_ > batch_end_) return Damaged("a record's length");
  return true;
}

// What recovery found to be bad, and said so.
bool LogStreamReader::SkipBad() {
  for (const LogRange& bad : plan_.bad) {
    if (bad.begin <= position_ && position_ < bad.end) {
      position_ = bad.end;
      return true;
    }
  }
  return false;
}

absl::Status LogStreamReader::EnterBatch() {
  BatchHeader header;
  if (SourceEnd() - position_ < sizeof(header)) return Damaged("a batch");
  PARAMO_RETURN_IF_ERROR(ReadBytes(position_, sizeof(header), &header));
  if (!Check(header) || header.position != position_) {
    return Damaged("a batch's header");
  }
  position_ += sizeof(header);
  batch_end_ = std::min(position_ + header.bytes, SourceEnd());
  return absl::OkStatus();
}

absl::StatusOr<Rope> LogStreamReader::ReadPayload() {
  std::string bytes(header_.length, '\0');
  PARAMO_RETURN_IF_ERROR(
      ReadBytes(record_ + sizeof(header_), bytes.size(), bytes.data()));
  const Piece piece = {reinterpret_cast<const uint8_t*>(bytes.data()),
                       bytes.size()};
  if (!CheckRecord(header_, {&piece, 1})) return Damaged("a record");
  return Rope::FromString(std::move(bytes));
}

absl::Status LogStreamReader::ReadBytes(uint64_t position, size_t size,
                                        void* out) {
  const LogReadPlan::Source& source = plan_.sources[source_];
  const uint64_t offset = position - source.name.first_position;
  if (size > kWindowBytes) return source.file->Read(offset, size, out);
  const bool inside = position >= window_begin_ &&
                      position + size <= window_begin_ + window_.size();
  if (!inside) {
    if (SourceEnd() - position < size) return Damaged("a record's length");
    window_.resize(std::min<uint64_t>(kWindowBytes, SourceEnd() - position));
    window_begin_ = position;
    const absl::Status read =
        source.file->Read(offset, window_.size(), window_.data());
    if (!read.ok()) {
      window_.clear();
      return read;
    }
  }
  std::memcpy(out, window_.data() + (position - window_begin_), size);
  return absl::OkStatus();
}

absl::Status LogStreamReader::Damaged(const char* what) const {
  return absl::DataLossError(
      absl::StrCat(what, " at byte ", position_, " of the log is damaged (",
                   plan_.sources[source_].name.Format(), ")"));
}

}  // namespace paramo
