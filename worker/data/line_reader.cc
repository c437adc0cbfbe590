#include "worker/data/line_reader.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;
constexpr absl::Duration kTellEvery = absl::Seconds(2);

}  // namespace

LineReader::LineReader(GzipFile file)
    : file_(std::move(file)), start_(clock_.Now()), told_(start_) {}

absl::StatusOr<LineReader> LineReader::Open(const std::string& path) {
  PARAMO_ASSIGN_OR_RETURN(GzipFile file, GzipFile::Open(path));
  return LineReader(std::move(file));
}

absl::StatusOr<bool> LineReader::Next(absl::string_view& line) {
  size_t searched = 0;
  for (;;) {
    const char* start = buffer_.data() + begin_;
    const size_t size = end_ - begin_;
    const void* newline =
        size > searched ? std::memchr(start + searched, '\n', size - searched)
                        : nullptr;
    if (newline != nullptr || (at_end_ && size > 0)) {
      const size_t length =
          newline != nullptr
              ? static_cast<size_t>(static_cast<const char*>(newline) - start)
              : size;
      begin_ += length + (newline != nullptr ? 1 : 0);
      ++line_;
      const bool carriage = length > 0 && start[length - 1] == '\r';
      line = absl::string_view(start, length - (carriage ? 1 : 0));
      return true;
    }
    if (at_end_) {
      TellProgress(/*at_end=*/true);
      return false;
    }
    searched = size;
    PARAMO_RETURN_IF_ERROR(Fill());
  }
}

// Makes room behind what is left of the buffer, and reads into it.
absl::Status LineReader::Fill() {
  if (end_ - begin_ > kDataLineBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path(), ":", line_ + 1, ": the line is longer than ",
                     kDataLineBytesMax, " bytes; is this a text file?"));
  }
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + kReadBytes) buffer_.resize(end_ + kReadBytes);
  PARAMO_ASSIGN_OR_RETURN(const size_t got,
                          file_.ReadSome(kReadBytes, buffer_.data() + end_));
  end_ += got;
  at_end_ = got == 0;
  if (file_.offset() > kDatasetBytesMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        path(), ": holds more than ", kDatasetBytesMax,
        " bytes, the most a worker reads into memory; use a smaller file"));
  }
  TellProgress(/*at_end=*/false);
  return absl::OkStatus();
}

void LineReader::TellProgress(bool at_end) {
  const absl::Duration now = clock_.Now();
  const bool told_before = told_ > start_;
  if (at_end ? !told_before : now - told_ < kTellEvery) return;
  told_ = now;
  const double megabytes = static_cast<double>(file_.offset()) / 1e6;
  LogInfo("%s %s: %d lines, %.1f MB, %.1f MB/s", at_end ? "read" : "reading",
          path(), line_, megabytes,
          megabytes / absl::ToDoubleSeconds(now - start_));
}

absl::Status LineReader::Error(size_t column, absl::string_view problem) const {
  return absl::InvalidArgumentError(
      absl::StrCat(path(), ":", line_, ":", column, ": ", problem));
}

}  // namespace paramo
