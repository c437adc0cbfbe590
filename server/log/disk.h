// All that the log asks of a disk, so that tests and the simulator can lose
// pages, tear writes and fail syncs. Names are relative to a directory.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace paramo {

// An append-only file. One thread appends, one syncs, any read, all meanwhile.
// Closed by its destructor; what is open stays readable after a Remove.
class LogFile {
 public:
  virtual ~LogFile() = default;
  // The pieces, in order, at the end. After an error a prefix may be there.
  virtual absl::Status Append(absl::Span<const iovec> pieces) = 0;
  // Returns when every byte appended before, and the size, survive a power
  // loss.
  virtual absl::Status Sync() = 0;
  // DATA_LOSS when the file ends before `offset + size`.
  virtual absl::Status Read(uint64_t offset, size_t size, void* out) const = 0;
};

// All of a file's bytes, for as long as `owner` lives.
struct LogFileBytes {
  absl::Span<const uint8_t> bytes;
  std::shared_ptr<const void> owner;
};

// Any thread.
class LogDisk {
 public:
  virtual ~LogDisk() = default;
  virtual absl::Status MakeDirectory(const std::string& dir) = 0;
  virtual absl::StatusOr<std::vector<std::string>> List(
      const std::string& dir) = 0;
  // ALREADY_EXISTS when it does.
  virtual absl::StatusOr<std::unique_ptr<LogFile>> Create(
      const std::string& dir, const std::string& name) = 0;
  // To read and sync, not to append.
  virtual absl::StatusOr<std::unique_ptr<LogFile>> Open(
      const std::string& dir, const std::string& name) = 0;
  // DATA_LOSS when the disk cannot read some of it.
  virtual absl::StatusOr<LogFileBytes> Map(const std::string& dir,
                                           const std::string& name) = 0;
  virtual absl::Status Rename(const std::string& dir, const std::string& from,
                              const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& dir,
                              const std::string& name) = 0;
  // Returns when creations, renames and removals in it survive a power loss.
  virtual absl::Status SyncDirectory(const std::string& dir) = 0;
};

// The operating system's. Never destroyed.
LogDisk& PosixLogDisk();

// Of the kernel that runs now; "unknown" when it does not tell.
std::string KernelBootId();

}  // namespace paramo
