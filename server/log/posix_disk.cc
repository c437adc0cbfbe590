#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/log/disk.h"

namespace paramo {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiecesMax = 1024;  // IOV_MAX of Linux

// The disk begins with what was appended as soon as it is so much, so that
// little is left to do when Sync is called: everybody waits for that.
constexpr uint64_t kWriteBackBytes = uint64_t{1} << 20;

std::string Join(const std::string& dir, const std::string& name) {
  return absl::StrCat(dir, "/", name);
}

absl::Status Failed(absl::string_view doing, const std::string& path) {
  return ErrnoStatus(errno, absl::StrCat(doing, " ", path));
}

class PosixLogFile final : public LogFile {
 public:
  PosixLogFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixLogFile() override { close(fd_); }

  absl::Status Append(absl::Span<const iovec> pieces) override {
    std::vector<iovec> rest(pieces.begin(), pieces.end());
    size_t next = 0;
    while (next < rest.size()) {
      const size_t count = std::min(rest.size() - next, kPiecesMax);
      const ssize_t wrote =
          writev(fd_, rest.data() + next, static_cast<int>(count));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return Failed("appending to", path_);
      // A full disk writes what fits first; the next call says why.
      size_t bytes = static_cast<size_t>(wrote);
      not_begun_ += bytes;
      while (next < rest.size() && bytes >= rest[next].iov_len) {
        bytes -= rest[next++].iov_len;
      }
      if (bytes == 0) continue;
      rest[next].iov_base = static_cast<char*>(rest[next].iov_base) + bytes;
      rest[next].iov_len -= bytes;
    }
    BeginWriteBack();
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (fdatasync(fd_) == 0) return absl::OkStatus();
    return Failed("syncing", path_);
  }

  absl::Status Read(uint64_t offset, size_t size, void* out) const override {
    auto* to = static_cast<char*>(out);
    while (size > 0) {
      const ssize_t got = pread(fd_, to, size, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Failed("reading", path_);
      if (got == 0) {
        return absl::DataLossError(
            absl::StrCat(path_, " ends at ", offset, ", before its records"));
      }
      to += got;
      offset += static_cast<uint64_t>(got);
      size -= static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

 private:
  // Promises nothing; an error shows in Sync.
  void BeginWriteBack() {
    if (not_begun_ < kWriteBackBytes) return;
    sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
    not_begun_ = 0;
  }

  const std::string path_;
  const int fd_;
  uint64_t not_begun_ = 0;  // bytes appended since; the appending thread's
};

absl::StatusOr<std::unique_ptr<LogFile>> OpenFile(std::string path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (fd < 0) return Failed("opening", path);
  return std::make_unique<PosixLogFile>(std::move(path), fd);
}

// Faults all pages in, so that a bad sector is a Status here and not a SIGBUS
// in whoever reads the bytes. Kernels before 5.14 cannot.
absl::Status Populate(uint8_t* bytes, size_t size, const std::string& path) {
#ifdef MADV_POPULATE_READ
  constexpr int kPopulateRead = MADV_POPULATE_READ;
#else
  constexpr int kPopulateRead = 22;
#endif
  while (madvise(bytes, size, kPopulateRead) != 0) {
    if (errno == EINTR || errno == EAGAIN) continue;
    if (errno == EINVAL) break;
    return absl::DataLossError(
        absl::StrCat("the disk cannot read all of ", path,
                     "; restore it from a copy, or move the data directory "
                     "away and start empty"));
  }
  return absl::OkStatus();
}

class PosixLogDiskImpl final : public LogDisk {
 public:
  absl::Status MakeDirectory(const std::string& dir) override {
    std::error_code error;
    fs::create_directories(dir, error);
    if (!error) return absl::OkStatus();
    return ErrnoStatus(error.value(), absl::StrCat("making ", dir));
  }

  absl::StatusOr<std::vector<std::string>> List(
      const std::string& dir) override {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(dir, error), end; !error && entry != end;
         entry.increment(error)) {
      names.push_back(entry->path().filename().string());
    }
    if (!error) return names;
    return ErrnoStatus(error.value(), absl::StrCat("listing ", dir));
  }

  absl::StatusOr<std::unique_ptr<LogFile>> Create(
      const std::string& dir, const std::string& name) override {
    return OpenFile(Join(dir, name), O_RDWR | O_CREAT | O_EXCL | O_APPEND);
  }

  absl::StatusOr<std::unique_ptr<LogFile>> Open(
      const std::string& dir, const std::string& name) override {
    return OpenFile(Join(dir, name), O_RDONLY);
  }

  absl::StatusOr<LogFileBytes> Map(const std::string& dir,
                                   const std::string& name) override {
    const std::string path = Join(dir, name);
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return Failed("opening", path);
    auto bytes = MapFd(fd, path);
    close(fd);
    return bytes;
  }

  absl::Status Rename(const std::string& dir, const std::string& from,
                      const std::string& to) override {
    if (std::rename(Join(dir, from).c_str(), Join(dir, to).c_str()) == 0) {
      return absl::OkStatus();
    }
    return Failed("renaming", Join(dir, from));
  }

  absl::Status Remove(const std::string& dir,
                      const std::string& name) override {
    if (unlink(Join(dir, name).c_str()) == 0) return absl::OkStatus();
    return Failed("removing", Join(dir, name));
  }

  absl::Status SyncDirectory(const std::string& dir) override {
    const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return Failed("opening", dir);
    const PosixLogFile file(dir, fd);
    if (fsync(fd) == 0) return absl::OkStatus();
    return Failed("syncing", dir);
  }

 private:
  static absl::StatusOr<LogFileBytes> MapFd(int fd, const std::string& path) {
    struct stat about;
    if (fstat(fd, &about) != 0) return Failed("asking about", path);
    if (!S_ISREG(about.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, " is not a regular file"));
    }
    LogFileBytes result;
    const auto size = static_cast<size_t>(about.st_size);
    if (size == 0) return result;
    void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) return Failed("mapping", path);
    auto* bytes = static_cast<uint8_t*>(map);
    result.bytes = {bytes, size};
    result.owner = std::shared_ptr<const void>(
        bytes, [size](uint8_t* mapped) { munmap(mapped, size); });
    PARAMO_RETURN_IF_ERROR(Populate(bytes, size, path));
    return result;
  }
};

}  // namespace

LogDisk& PosixLogDisk() {
  static PosixLogDiskImpl disk;  // without state
  return disk;
}

std::string KernelBootId() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(in, id);
  return id.empty() ? "unknown" : id;
}

}  // namespace paramo
