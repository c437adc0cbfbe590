// Ends a process whose parent is gone, however the parent went. The parent
// holds the write end of a pipe and gives us the read end; the kernel closes
// the write end even on SIGKILL. (PR_SET_PDEATHSIG is no substitute: it fires
// when the *thread* that forked ends.)
#pragma once

#include <functional>
#include <thread>

#include "absl/time/time.h"

namespace paramo {

// Life: made by main once the process can be stopped, destroyed when it has
// stopped; the destructor joins the thread. Threads: any.
class ParentWatch {
 public:
  // Watches the pipe `fd` (owned from here on; < 0: watches nothing). When the
  // parent is gone, calls `stop` once, from a thread of its own; if this object
  // still lives `grace` later, the process exits with status 1, unclean.
  ParentWatch(int fd, absl::Duration grace, std::function<void()> stop);
  ~ParentWatch();
  ParentWatch(const ParentWatch&) = delete;
  ParentWatch& operator=(const ParentWatch&) = delete;

 private:
  void Run();
  bool WaitForEnd(int fd, absl::Duration timeout);

  const int fd_;
  const absl::Duration grace_;
  const std::function<void()> stop_;
  int done_fd_ = -1;  // an eventfd: the destructor wakes the thread with it
  std::thread thread_;
};

}  // namespace paramo
