// What every long-running binary does around its work: wait for the word to
// stop, and tell where it listens.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace paramo {

// Waits for SIGINT or SIGTERM, or for somebody in this process to ask.
//
// Life: made first thing in main, before any thread, because it blocks the two
// signals and threads inherit that; lives until main returns.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // Blocks. OK: a signal or a plain Request; else the status of the Request
  // that came first.
  absl::Status Wait();

  // Ends Wait. Threads: any; more than once is harmless.
  void Request(absl::Status why = absl::OkStatus());

 private:
  int signals_;  // a signalfd
  int asked_;    // an eventfd
  struct Reason;
  Reason* reason_;
};

// Writes `key=value` lines to `path`, whole or not at all, for whoever waits
// for this process to be ready.
absl::Status WriteReadyFile(
    const std::string& path,
    const std::vector<std::pair<std::string, std::string>>& lines);

}  // namespace paramo
