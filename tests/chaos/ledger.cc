#include "tests/chaos/ledger.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/base/status.h"

namespace paramo::chaos {
namespace {

constexpr size_t kReadBytes = 256 << 10;

}  // namespace

int64_t MonotonicNanos() {
  timespec now;
  PARAMO_CHECK(::clock_gettime(CLOCK_MONOTONIC, &now) == 0);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

absl::StatusOr<std::unique_ptr<LedgerWriter>> LedgerWriter::Create(
    const std::string& path) {
  const int fd = ::open(
      path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot make ", path));
  return std::unique_ptr<LedgerWriter>(new LedgerWriter(fd));
}

LedgerWriter::~LedgerWriter() { ::close(fd_); }

void LedgerWriter::Write(Outcome what, uint64_t number) {
  const char letter = static_cast<char>(what);
  const std::string line = absl::StrCat(absl::string_view(&letter, 1), " ",
                                        number, " ", MonotonicNanos(), "\n");
  // Evidence that cannot be written is worse than no run at all.
  PARAMO_CHECK(::write(fd_, line.data(), line.size()) ==
               static_cast<ssize_t>(line.size()));
}

absl::Status LedgerReader::Poll() {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return absl::OkStatus();
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot read ", path_));
  std::string buffer(kReadBytes, '\0');
  ssize_t count = 0;
  while ((count = ::pread(fd, buffer.data(), buffer.size(),
                          static_cast<off_t>(offset_))) > 0) {
    offset_ += static_cast<uint64_t>(count);
    pending_.append(buffer, 0, static_cast<size_t>(count));
  }
  const int error = errno;
  ::close(fd);
  if (count < 0) return ErrnoStatus(error, absl::StrCat("cannot read ", path_));
  const size_t end = pending_.rfind('\n');
  if (end == std::string::npos) return absl::OkStatus();
  const std::string lines = pending_.substr(0, end + 1);
  pending_.erase(0, end + 1);
  return Annotate(Add(lines), path_);
}

absl::Status LedgerReader::Add(absl::string_view lines) {
  for (absl::string_view line : absl::StrSplit(lines, '\n')) {
    if (line.empty()) continue;
    PARAMO_RETURN_IF_ERROR(AddLine(line));
  }
  return absl::OkStatus();
}

absl::Status LedgerReader::AddLine(absl::string_view line) {
  const auto bad = [&](absl::string_view why) {
    return absl::DataLossError(absl::StrCat("ledger line '", line, "': ", why));
  };
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  uint64_t number = 0;
  int64_t at_ns = 0;
  if (words.size() != 3 || words[0].size() != 1 ||
      !absl::SimpleAtoi(words[1], &number) ||
      !absl::SimpleAtoi(words[2], &at_ns)) {
    return bad("not LETTER NUMBER NANOSECONDS");
  }
  const Outcome what = static_cast<Outcome>(words[0][0]);
  switch (what) {
    case Outcome::kOpen:
      if (number != history_.size()) return bad("attempts are not in order");
      history_.push_back({at_ns, 0, what});
      return absl::OkStatus();
    case Outcome::kAcked:
    case Outcome::kFailed:
    case Outcome::kUnknown:
      break;
    default:
      return bad("an unknown letter");
  }
  if (number >= history_.size()) return bad("ends what never began");
  Attempt& attempt = history_[number];
  if (attempt.outcome != Outcome::kOpen) return bad("ends twice");
  attempt.end_ns = at_ns;
  attempt.outcome = what;
  return absl::OkStatus();
}

}  // namespace paramo::chaos
