// A few threads that take jobs from one queue.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"

namespace paramo {

// Threads: any may add.
class JobThreads {
 public:
  ~JobThreads() { Stop(); }

  // `name`: up to 15 characters, for debuggers.
  void Start(int threads, const char* name);
  // Jobs that have begun are ended, others are dropped.
  void Stop();
  void Add(std::function<void()> job);

 private:
  void Run();

  std::vector<std::thread> threads_;
  Mutex mu_;
  CondVar wake_;
  std::deque<std::function<void()>> jobs_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace paramo
