#include "server/store/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace paramo {
namespace {

namespace fs = std::filesystem;

constexpr char kFileName[] = "PARAMO";
constexpr char kLockName[] = "LOCK";

std::string KernelBootId() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(in, id);
  return id.empty() ? "unknown" : id;
}

absl::Status MakeDirectory(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return ErrnoStatus(error.value(),
                     absl::StrCat("making the data directory ", path));
}

// The pid that the holder wrote into its lock file, for the message only.
std::string HolderOf(int lock_fd) {
  char pid[32] = {};
  const ssize_t bytes = pread(lock_fd, pid, sizeof(pid) - 1, 0);
  if (bytes <= 0) return "another process";
  return absl::StrCat("process ", absl::StripSuffix(pid, "\n"));
}

// Returns the descriptor that holds the lock, for as long as it is open. The
// kernel drops the lock when the process ends, however it ends.
absl::StatusOr<int> Lock(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/", kLockName);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error_number = errno;
    const std::string holder = HolderOf(fd);
    close(fd);
    if (error_number != EWOULDBLOCK) {
      return ErrnoStatus(error_number, absl::StrCat("locking ", path));
    }
    return absl::FailedPreconditionError(
        absl::StrCat("the data directory ", dir, " is in use by ", holder,
                     "; stop it, or give this server a directory of its own"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) !=
                                   static_cast<ssize_t>(pid.size())) {
    LogWarning("cannot note the process id in %s", path);  // the lock holds
  }
  return fd;
}

// nullopt: there is no such file.
absl::StatusOr<std::optional<std::string>> ReadFile(const std::string& path) {
  std::error_code error;
  const auto type = fs::status(path, error).type();
  if (type == fs::file_type::not_found) return std::optional<std::string>();
  std::ifstream in(path, std::ios::binary);
  // One page is far more than the file ever has.
  std::string text(4096, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (!in.is_open())) {
    return ErrnoStatus(errno, absl::StrCat("reading ", path));
  }
  text.resize(static_cast<size_t>(in.gcount()));
  return std::optional<std::string>(std::move(text));
}

// A directory without our file is taken only when nobody else's files are in
// it. lost+found is the root of a freshly made volume.
absl::Status CheckUnused(const std::string& dir) {
  std::error_code error;
  for (fs::directory_iterator entry(dir, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name == kLockName || name == "lost+found" ||
        name == absl::StrCat(kFileName, ".tmp")) {
      continue;
    }
    return absl::FailedPreconditionError(absl::StrCat(
        dir, " is not a Paramo data directory and not empty (it has ",
        Printable(name), "); give an empty or a new directory"));
  }
  if (!error) return absl::OkStatus();
  return ErrnoStatus(error.value(), absl::StrCat("listing ", dir));
}

absl::Status WriteAndSync(const std::string& path, absl::string_view text) {
  const int fd =
      open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  errno = 0;
  const ssize_t written = write(fd, text.data(), text.size());
  const bool synced =
      written == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  const int error_number = errno != 0 ? errno : ENOSPC;  // a short write
  close(fd);
  if (synced) return absl::OkStatus();
  return ErrnoStatus(error_number, absl::StrCat("writing ", path));
}

absl::Status CheckIdentity(const DataDirFile& file,
                           const DataDirOptions& options) {
  if (file.format_version != kDataFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.path, " has data format ", file.format_version,
                     ", this binary reads ", kDataFormatVersion,
                     "; use the version of Paramo that wrote it"));
  }
  if (options.cluster_id != 0 && file.cluster_id != 0 &&
      options.cluster_id != file.cluster_id) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s belongs to cluster %016x, not to %016x; check the address of the "
        "coordinator and the path, or give an empty directory",
        options.path, file.cluster_id, options.cluster_id));
  }
  if (options.server_id != 0 && file.server_id != 0 &&
      options.server_id != file.server_id) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s belongs to server %u, not to %u; every server has a directory of "
        "its own: check the path, or give an empty directory",
        options.path, file.server_id, options.server_id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SyncDirectory(const std::string& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", dir));
  const int failed = fsync(fd);
  const int error_number = errno;
  close(fd);
  if (failed == 0) return absl::OkStatus();
  return ErrnoStatus(error_number, absl::StrCat("syncing ", dir));
}

DataDir::DataDir(std::string path, int lock_fd)
    : path_(std::move(path)), lock_fd_(lock_fd) {}

DataDir::~DataDir() { close(lock_fd_); }

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(
    const DataDirOptions& options) {
  PARAMO_RETURN_IF_ERROR(MakeDirectory(options.path));
  PARAMO_ASSIGN_OR_RETURN(const int lock_fd, Lock(options.path));
  std::unique_ptr<DataDir> dir(new DataDir(options.path, lock_fd));
  PARAMO_RETURN_IF_ERROR(dir->ReadIdentity(options));

  DataDirFile file = dir->file_;
  if (file.cluster_id == 0) file.cluster_id = options.cluster_id;
  if (file.server_id == 0) file.server_id = options.server_id;
  if (file.incarnation == 0) file.incarnation = MakeRandomId();
  file.boot_id = KernelBootId();
  file.clean = false;
  PARAMO_RETURN_IF_ERROR(dir->WriteFile(file));
  return dir;
}

// Sets `file_` and how the last use ended, or refuses the directory.
absl::Status DataDir::ReadIdentity(const DataDirOptions& options) {
  PARAMO_ASSIGN_OR_RETURN(auto text,
                          ReadFile(absl::StrCat(path_, "/", kFileName)));
  if (!text.has_value()) return CheckUnused(path_);
  auto file = DataDirFile::Parse(*text);
  if (!file.ok()) return Annotate(file.status(), path_);
  PARAMO_RETURN_IF_ERROR(CheckIdentity(*file, options));
  file_ = *std::move(file);
  last_stop_was_clean_ = file_.clean;
  same_boot_ = file_.boot_id == KernelBootId();
  return absl::OkStatus();
}

absl::Status DataDir::Adopt(uint64_t cluster_id, uint32_t server_id) {
  DataDirOptions given;
  given.path = path_;
  given.cluster_id = cluster_id;
  given.server_id = server_id;
  PARAMO_RETURN_IF_ERROR(CheckIdentity(file_, given));
  DataDirFile file = file_;
  file.cluster_id = cluster_id;
  file.server_id = server_id;
  return WriteFile(file);
}

absl::Status DataDir::EndIncarnation() {
  DataDirFile file = file_;
  file.incarnation = MakeRandomId();
  return WriteFile(file);
}

absl::Status DataDir::MarkClean() {
  DataDirFile file = file_;
  file.clean = true;
  return WriteFile(file);
}

// Replaces PARAMO durably: either the old file is there after a crash, or the
// whole of the new one.
absl::Status DataDir::WriteFile(const DataDirFile& file) {
  const std::string path = absl::StrCat(path_, "/", kFileName);
  const std::string temporary = absl::StrCat(path, ".tmp");
  PARAMO_RETURN_IF_ERROR(WriteAndSync(temporary, file.Format()));
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("renaming ", temporary));
  }
  PARAMO_RETURN_IF_ERROR(SyncDirectory(path_));
  file_ = file;
  return absl::OkStatus();
}

}  // namespace paramo
