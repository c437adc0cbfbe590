// Writes NumPy's .npz: a zip archive of .npy arrays, stored uncompressed.
// Formats: numpy.lib.format version 1.0 and PKWARE's APPNOTE 6.3, with ZIP64
// (sections 4.3.14, 4.5.3) where an array or the archive passes 4 GiB.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace paramo::cli {

// Writes to FILE.part and renames at Finish, so that a file under the final
// name is whole. Arrays are streamed: their length is declared, their bytes
// follow in pieces. Threads: one.
class NpzWriter {
 public:
  static absl::StatusOr<std::unique_ptr<NpzWriter>> Create(std::string path);
  // Removes the partial file unless Finish succeeded.
  ~NpzWriter();
  NpzWriter(const NpzWriter&) = delete;
  NpzWriter& operator=(const NpzWriter&) = delete;

  // Starts array `name` of C order. `dtype` is NumPy's: "<f4", "<u8".
  // Shapes: the product of `shape` elements must follow, in any pieces.
  absl::Status Begin(absl::string_view name, absl::string_view dtype,
                     absl::Span<const uint64_t> shape);
  absl::Status Append(absl::Span<const float> values);
  absl::Status Append(absl::Span<const uint64_t> values);
  // Errors: those of the file system; INTERNAL when an array is incomplete.
  absl::Status Finish();

 private:
  struct Entry {
    std::string name;  // "value.npy"
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint32_t crc = 0;
  };
  NpzWriter(std::string path, std::FILE* file);
  absl::Status Write(absl::string_view bytes);
  absl::Status WriteData(const void* data, size_t bytes);
  absl::Status EndEntry();

  const std::string path_;
  std::FILE* file_;
  uint64_t position_ = 0;
  uint64_t missing_ = 0;  // bytes of the open array still to come
  bool open_ = false;
  bool finished_ = false;
  std::vector<Entry> entries_;
};

}  // namespace paramo::cli
