#include "common/transport/shm_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace paramo {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Make(size_t bytes) {
  Descriptor memory(
      memfd_create("paramo-lane", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) return ErrnoStatus(errno, "memfd_create");
  if (ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(memory.get(), F_ADD_SEALS, kSeals) != 0)
    return ErrnoStatus(errno, "sealing a memfd");
  return Map(std::move(memory), bytes);
}

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Adopt(
    Descriptor memory, size_t bytes) {
  struct stat is = {};
  if (fstat(memory.get(), &is) != 0) return ErrnoStatus(errno, "fstat");
  if (is.st_uid != geteuid() || is.st_size != static_cast<off_t>(bytes))
    return absl::FailedPreconditionError("memory of another user or size");
  const int seals = fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals)
    return absl::FailedPreconditionError("memory that is not sealed");
  return Map(std::move(memory), bytes);
}

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Map(
    Descriptor memory, size_t bytes) {
  void* data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (data == MAP_FAILED) return ErrnoStatus(errno, "mmap");
  return std::unique_ptr<SharedMemory>(
      new SharedMemory(std::move(memory), static_cast<uint8_t*>(data), bytes));
}

SharedMemory::~SharedMemory() { munmap(data_, size_); }

absl::Status SharedMemory::Reserve(size_t offset, size_t bytes) const {
  if (fallocate(descriptor_.get(), 0, static_cast<off_t>(offset),
                static_cast<off_t>(bytes)) != 0)
    return ErrnoStatus(errno, "fallocate");
  return absl::OkStatus();
}

absl::StatusOr<Descriptor> OpenPrivateDirectory(const std::string& path) {
  Descriptor directory(
      open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat is = {};
  if (!directory.valid() || fstat(directory.get(), &is) != 0)
    return ErrnoStatus(errno, path);
  if (is.st_uid != geteuid() || (is.st_mode & 077) != 0)
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is another user's, or open to others"));
  return directory;
}

sockaddr_un LaneSocket(const Descriptor& directory) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path,
                "/proc/self/fd/%d/%s", directory.get(), kLaneSocketName);
  return address;
}

}  // namespace paramo
