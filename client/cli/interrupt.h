// Ctrl-C, SIGTERM and SIGHUP as something one can wait for.
#pragma once

#include "absl/time/time.h"

namespace paramo::cli {

// Made once, before any thread: it blocks the signals, and threads inherit
// that. (Children do not: Process resets their mask.) Threads: one.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Waits up to `timeout`; true once a signal has come, and ever after.
  bool Wait(absl::Duration timeout);

 private:
  int fd_;  // a signalfd
  bool happened_ = false;
};

}  // namespace paramo::cli
