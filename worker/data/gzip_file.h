// A file read front to back, decompressed when it is gzip.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace paramo {

// Owns an open file. Threads: one at a time.
class GzipFile {
 public:
  // Errors: NOT_FOUND, PERMISSION_DENIED, ... as the system says.
  static absl::StatusOr<GzipFile> Open(const std::string& path);

  GzipFile(GzipFile&& other) noexcept;
  GzipFile& operator=(GzipFile&&) = delete;
  ~GzipFile();

  // Appends exactly `bytes` to `out`, in steps, so that a header that claims
  // much of a short file costs little.
  // Errors: DATA_LOSS  the file ends first, or is damaged
  absl::Status Read(size_t bytes, std::vector<uint8_t>& out);

  // Up to `bytes` into `out`; 0 at the end.
  // Errors: DATA_LOSS  the file is damaged or cut off
  absl::StatusOr<size_t> ReadSome(size_t bytes, char* out);

  // DATA_LOSS when anything follows.
  absl::Status ExpectEnd();

  uint64_t offset() const { return offset_; }  // in decompressed bytes
  const std::string& path() const { return path_; }

 private:
  GzipFile(void* file, std::string path)
      : file_(file), path_(std::move(path)) {}
  absl::Status Damaged(const char* what) const;

  void* file_;  // gzFile
  std::string path_;
  uint64_t offset_ = 0;
};

}  // namespace paramo
