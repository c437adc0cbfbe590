#include "common/config/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {

absl::StatusOr<std::string> ReadFileUpTo(const std::string& file,
                                         size_t bytes_max) {
  const std::string name = Printable(file);
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", name));
  auto close = absl::MakeCleanup([fd] { ::close(fd); });
  struct stat info {};
  if (::fstat(fd, &info) == 0 && !S_ISREG(info.st_mode) &&
      !S_ISFIFO(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is not a regular file; name one"));
  }
  std::string text;
  char chunk[16384];
  while (text.size() <= bytes_max) {
    const ssize_t bytes = ::read(fd, chunk, sizeof chunk);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0)
      return ErrnoStatus(errno, absl::StrCat("cannot read ", name));
    if (bytes == 0) return text;
    text.append(chunk, static_cast<size_t>(bytes));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, " has more than ", bytes_max,
                   " bytes, the most that is read; shorten it"));
}

}  // namespace paramo
