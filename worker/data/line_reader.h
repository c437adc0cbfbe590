// A text file line by line, decompressed when it is gzip; tells how far it is,
// and where an error lies.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/clock/clock.h"
#include "worker/data/gzip_file.h"

namespace paramo {

// Logs a line with the rate every two seconds, and one at the end of a file
// that took longer. Threads: one.
class LineReader {
 public:
  // Errors: NOT_FOUND, PERMISSION_DENIED, ... as the system says.
  static absl::StatusOr<LineReader> Open(const std::string& path);

  // The next line, without its line break; false at the end. `line` is valid
  // until the next call.
  // Errors: DATA_LOSS           the file is damaged or cut off
  //         RESOURCE_EXHAUSTED  a line above kDataLineBytesMax, or more than
  //                             kDatasetBytesMax in all
  absl::StatusOr<bool> Next(absl::string_view& line);

  size_t line() const { return line_; }  // of the last one read, from 1
  const std::string& path() const { return file_.path(); }

  // INVALID_ARGUMENT "file:line:column: problem" about the line read last.
  // `column` counts bytes from 1.
  absl::Status Error(size_t column, absl::string_view problem) const;

 private:
  explicit LineReader(GzipFile file);
  absl::Status Fill();
  void TellProgress(bool at_end);

  GzipFile file_;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // of what is not yet handed out
  size_t end_ = 0;
  size_t line_ = 0;
  bool at_end_ = false;  // of the file; the buffer may hold more
  SteadyClock clock_;
  absl::Duration start_;
  absl::Duration told_;
};

}  // namespace paramo
