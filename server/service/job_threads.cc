#include "server/service/job_threads.h"

#include <pthread.h>

#include <utility>

namespace paramo {

void JobThreads::Start(int threads, const char* name) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(), name);
  }
}

void JobThreads::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void JobThreads::Add(std::function<void()> job) {
  MutexLock lock(mu_);
  jobs_.push_back(std::move(job));
  wake_.NotifyOne();
}

void JobThreads::Run() {
  for (;;) {
    std::function<void()> job;
    {
      MutexLock lock(mu_);
      while (jobs_.empty() && !stopping_) wake_.Wait(mu_);
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace paramo
