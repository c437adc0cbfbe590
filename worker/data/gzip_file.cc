#include "worker/data/gzip_file.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace paramo {
namespace {

constexpr size_t kStepBytes = size_t{4} << 20;

gzFile Handle(void* file) { return static_cast<gzFile>(file); }

}  // namespace

absl::StatusOr<GzipFile> GzipFile::Open(const std::string& path) {
  errno = 0;
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) {
    // zlib leaves errno at 0 when it ran out of memory itself.
    return ErrnoStatus(errno != 0 ? errno : ENOMEM,
                       absl::StrCat("opening ", path));
  }
  return GzipFile(file, path);
}

GzipFile::GzipFile(GzipFile&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)),
      path_(std::move(other.path_)),
      offset_(other.offset_) {}

GzipFile::~GzipFile() {
  if (file_ != nullptr) gzclose_r(Handle(file_));
}

absl::Status GzipFile::Read(size_t bytes, std::vector<uint8_t>& out) {
  while (bytes > 0) {
    const size_t step = std::min(bytes, kStepBytes);
    const size_t start = out.size();
    out.resize(start + step);
    const int got =
        gzread(Handle(file_), out.data() + start, static_cast<unsigned>(step));
    out.resize(start + static_cast<size_t>(std::max(got, 0)));
    offset_ += static_cast<uint64_t>(std::max(got, 0));
    if (got < 0) return Damaged("is damaged");
    if (static_cast<size_t>(got) < step) return Damaged("ends too early");
    bytes -= step;
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> GzipFile::ReadSome(size_t bytes, char* out) {
  const size_t step = std::min(bytes, kStepBytes);
  const int got = gzread(Handle(file_), out, static_cast<unsigned>(step));
  if (got < 0) return Damaged("is damaged");
  offset_ += static_cast<uint64_t>(got);
  if (static_cast<size_t>(got) < step) {
    // A gzip stream that stops in the middle is no error of gzread's.
    int code = Z_OK;
    gzerror(Handle(file_), &code);
    if (code == Z_BUF_ERROR) return Damaged("ends too early");
  }
  return static_cast<size_t>(got);
}

absl::Status GzipFile::ExpectEnd() {
  char extra;
  const int got = gzread(Handle(file_), &extra, 1);
  if (got < 0) return Damaged("is damaged");
  if (got > 0) return Damaged("is longer than its header says");
  return absl::OkStatus();
}

absl::Status GzipFile::Damaged(const char* what) const {
  int code = Z_OK;
  const char* detail = gzerror(Handle(file_), &code);
  const bool say = code != Z_OK && code != Z_STREAM_END && *detail != '\0';
  return absl::DataLossError(
      absl::StrCat(path_, ": ", what, " at byte ", offset_,
                   say ? absl::StrCat(" (", detail, ")") : "",
                   "; fetch or install the data set again"));
}

}  // namespace paramo
