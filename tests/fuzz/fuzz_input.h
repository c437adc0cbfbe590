// What the fuzz targets share. A target is one LLVMFuzzerTestOneInput whose
// oracles are PARAMO_CHECKs: what they find wrong is a bug of ours, and the
// engine keeps the input.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/mem/rope.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace paramo::fuzz {

// An input, taken apart. Choices come off its end, so that what is left still
// begins like the file or message that it is.
class Input {
 public:
  Input(const uint8_t* data, size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  // In [0, bound); 0 when nothing is left. `bound` up to 256.
  size_t Choice(size_t bound) {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(rest_.back());
    rest_.remove_suffix(1);
    return byte % bound;
  }

  std::string Take(size_t bytes) {
    std::string taken(rest_.substr(0, bytes));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  // Up to the next `separator`, which goes too; all when there is none.
  std::string TakeUntil(char separator) {
    const size_t end = std::min(rest_.find(separator), rest_.size());
    std::string taken = Take(end);
    if (!rest_.empty()) rest_.remove_prefix(1);
    return taken;
  }

  bool empty() const { return rest_.empty(); }
  std::string Rest() { return Take(rest_.size()); }

 private:
  absl::string_view rest_;
};

// `bytes` cut into pieces of at most `piece`, each a block of its own so that
// AddressSanitizer sees a read past one.
inline Rope Sliced(const std::string& bytes, size_t piece) {
  auto owner = std::make_shared<std::vector<std::vector<uint8_t>>>();
  Rope::Pieces pieces;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const std::string part = bytes.substr(at, piece);
    owner->emplace_back(part.begin(), part.end());
    pieces.push_back({owner->back().data(), part.size()});
  }
  return Rope(std::move(pieces), owner, bytes.size());
}

// A file in memory that can be opened by its path, for readers of files.
class MemoryFile {
 public:
  explicit MemoryFile(absl::string_view bytes)
      : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    PARAMO_CHECK(fd_ >= 0);
    PARAMO_CHECK(write(fd_, bytes.data(), bytes.size()) ==
                 static_cast<ssize_t>(bytes.size()));
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  const int fd_;
};

}  // namespace paramo::fuzz
