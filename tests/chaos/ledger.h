// What a client did, noted before it was done: the evidence of a chaos run.
//
// One file per client process, one line per fact:
//
//   A 17 81200301   attempt 17 begins, at that many ns of the monotonic clock
//   K 17 81202877   acknowledged
//   F 18 ...        failed, and certainly not applied anywhere
//   U 19 ...        failed, and may have been applied on some shard or all
//
// A line is one write(), made before the push is sent: it survives the death of
// the process, at whatever instant that comes. (It is not synced: the machine
// that runs the tool is not what fails.) An attempt without an end is unknown.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace paramo::chaos {

enum class Outcome : char {
  kOpen = 'A',
  kAcked = 'K',
  kFailed = 'F',
  kUnknown = 'U',
};

struct Attempt {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;  // 0 while open
  Outcome outcome = Outcome::kOpen;
};

// Attempts of one client; the index is the attempt's number.
using History = std::vector<Attempt>;

// Nanoseconds of the clock that all processes of a machine share.
int64_t MonotonicNanos();

// Threads: any; a line is one system call.
class LedgerWriter {
 public:
  // Errors: ALREADY_EXISTS  every client process has a ledger of its own
  static absl::StatusOr<std::unique_ptr<LedgerWriter>> Create(
      const std::string& path);
  ~LedgerWriter();
  LedgerWriter(const LedgerWriter&) = delete;
  LedgerWriter& operator=(const LedgerWriter&) = delete;

  // Before the push is sent. Numbers are 0, 1, 2, ...
  void Begin(uint64_t number) { Write(Outcome::kOpen, number); }
  void End(uint64_t number, Outcome outcome) { Write(outcome, number); }

 private:
  explicit LedgerWriter(int fd) : fd_(fd) {}
  void Write(Outcome what, uint64_t number);

  const int fd_;
};

// Follows a ledger while it grows. Threads: one.
class LedgerReader {
 public:
  explicit LedgerReader(std::string path) : path_(std::move(path)) {}

  // Reads what was added. A ledger that is not there yet is empty; a last line
  // that is cut short is left for the next time.
  // Errors: DATA_LOSS  a line that no client writes, or a second end
  absl::Status Poll();
  const History& history() const { return history_; }

  // Poll's inner half: whole lines.
  absl::Status Add(absl::string_view lines);

 private:
  absl::Status AddLine(absl::string_view line);

  const std::string path_;
  uint64_t offset_ = 0;
  std::string pending_;
  History history_;
};

}  // namespace paramo::chaos
